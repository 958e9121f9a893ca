"""ARBTUI: an operator's console and execution toolkit for on-chain DEX arbitrage with flash loans."""

__version__ = "0.1.0"
