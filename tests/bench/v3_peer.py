"""Runs in an interpreter of its own that has pyrevm: pools' real bytecode asked for quotes, as a quoter contract does.

Standard input, one JSON object:

    {"factory": creation code, "make": [call to the factory, ...],
     "pools": [{"find": call, "initialize": call, "tokens": [address, ...], "storage": {slot: value}}, ...],
     "quotes": [[pool number, call], ...], "repeats": n}

Standard output: {"answers": [64 bytes of hex, ...], "seconds": [of each quote, the least of the repeats]}.
"""

import json
import sys
import time

import pyrevm

ME = "0x00000000000000000000000000000000000a11ce"
#: Any call answers 1: a token whose transfers succeed, as cheap as one can be.
TOKEN = "600160005260206000f3"
#: Passes its calldata, from byte 32 on, to the address in its first word, and returns whatever comes back. Called
#: back by the pool, it reverts with the two amounts: nothing a quote did remains.
QUOTER = (
    "60003560e01c63fa461e3314603257602036038060206000376000600082600060006000355af1503d600060003e3d6000f3"
    "5b6040600460003760406000fd"
)


def installer(code: str) -> bytes:
    """Creation code that leaves `code` behind."""
    body = bytes.fromhex(code)
    return bytes([0x60, len(body), 0x60, 0x0C, 0x60, 0x00, 0x39, 0x60, len(body), 0x60, 0x00, 0xF3]) + body


def main() -> None:
    task = json.load(sys.stdin)
    evm = pyrevm.EVM(gas_limit=2**62)
    factory = evm.deploy(ME, bytes.fromhex(task["factory"]))
    quoter = evm.deploy(ME, installer(QUOTER))
    for call in task["make"]:
        evm.message_call(ME, factory, bytes.fromhex(call))
    pools = []
    for pool in task["pools"]:
        address = "0x" + bytes(evm.message_call(ME, factory, bytes.fromhex(pool["find"])))[12:].hex()
        evm.message_call(ME, address, bytes.fromhex(pool["initialize"]))
        for token in pool["tokens"]:
            account = pyrevm.AccountInfo(nonce=1, code=bytes.fromhex(TOKEN))
            evm.insert_account_info(token, account)
        for slot, value in pool["storage"].items():
            old = evm.storage(address, int(slot))
            # slot0 keeps what initialize() wrote above price and tick: the observations and the lock.
            new = old >> 184 << 184 | int(value) if slot == "0" else int(value)
            evm.insert_account_storage(address, int(slot), new)
        pools.append(bytes(12) + bytes.fromhex(address[2:]))
    calls = [pools[number] + bytes.fromhex(call) for number, call in task["quotes"]]
    answers, seconds = [], []
    for call in calls:
        best = float("inf")
        for _ in range(task["repeats"]):
            began = time.perf_counter()
            answer = evm.message_call(ME, quoter, call)
            best = min(best, time.perf_counter() - began)
        answers.append(bytes(answer).hex())
        seconds.append(best)
    json.dump({"answers": answers, "seconds": seconds}, sys.stdout)


main()
