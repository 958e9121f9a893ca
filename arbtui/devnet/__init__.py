"""The local chain: anvil with the real protocols' bytecode, deposits, pools and traders."""

from arbtui.devnet.book import AddressBook, BookPool, BookToken
from arbtui.devnet.chain import FIRST_BASE_FEE, Devnet, open_devnet, start
from arbtui.devnet.traffic import Traffic

__all__ = [
    "FIRST_BASE_FEE",
    "AddressBook",
    "BookPool",
    "BookToken",
    "Devnet",
    "Traffic",
    "open_devnet",
    "start",
]
