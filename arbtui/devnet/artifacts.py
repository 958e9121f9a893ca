"""Compiled contracts: the protocols' own, from their pinned npm packages, and ours, from `contracts/artifacts`."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from arbtui.errors import DevnetError
from arbtui.execution.deployed import contracts_folder
from arbtui.units import Address

ROOT = Path(__file__).parents[2]

_AAVE_V3 = "@aave/core-v3/artifacts/contracts"
_AAVE_V2 = "@aave/protocol-v2/artifacts/contracts"
_BALANCER = "@balancer-labs/v2-deployments/dist/tasks"


def _hardhat(package: str, *folders: str) -> dict[str, str]:
    return {folder.rpartition("/")[2]: f"{package}/{folder}.sol" for folder in folders}


def _aave(package: str, prefix: str, *folders: str) -> dict[str, str]:
    return {f"{prefix}.{name}": f"{path}/{name}.json" for name, path in _hardhat(package, *folders).items()}


#: Name in the deployment → file under node_modules.
PROTOCOLS: Mapping[str, str] = {
    "WETH9": "canonical-weth/build/contracts/WETH9.json",
    "UniswapV2Factory": "@uniswap/v2-core/build/UniswapV2Factory.json",
    "UniswapV3Factory": "@uniswap/v3-core/artifacts/contracts/UniswapV3Factory.sol/UniswapV3Factory.json",
    "Authorizer": f"{_BALANCER}/20210418-authorizer/artifact/Authorizer.json",
    "Vault": f"{_BALANCER}/20210418-vault/artifact/Vault.json",
    "WeightedPoolFactory": f"{_BALANCER}/20210418-weighted-pool/bytecode/WeightedPoolFactory.json",
    **_aave(
        _AAVE_V3,
        "v3",
        "protocol/configuration/PoolAddressesProvider",
        "protocol/configuration/ACLManager",
        "protocol/libraries/logic/BorrowLogic",
        "protocol/libraries/logic/BridgeLogic",
        "protocol/libraries/logic/ConfiguratorLogic",
        "protocol/libraries/logic/EModeLogic",
        "protocol/libraries/logic/FlashLoanLogic",
        "protocol/libraries/logic/LiquidationLogic",
        "protocol/libraries/logic/PoolLogic",
        "protocol/libraries/logic/SupplyLogic",
        "protocol/pool/Pool",
        "protocol/pool/PoolConfigurator",
        "protocol/pool/DefaultReserveInterestRateStrategy",
        "protocol/tokenization/AToken",
        "protocol/tokenization/StableDebtToken",
        "protocol/tokenization/VariableDebtToken",
        "misc/AaveOracle",
        "misc/AaveProtocolDataProvider",
        "mocks/oracle/CLAggregators/MockAggregator",
    ),
    **_aave(
        _AAVE_V2,
        "v2",
        "protocol/configuration/LendingPoolAddressesProvider",
        "protocol/libraries/logic/GenericLogic",
        "protocol/libraries/logic/ReserveLogic",
        "protocol/libraries/logic/ValidationLogic",
        "protocol/lendingpool/LendingPool",
        "protocol/lendingpool/LendingPoolConfigurator",
        "protocol/lendingpool/LendingPoolCollateralManager",
        "protocol/lendingpool/DefaultReserveInterestRateStrategy",
        "protocol/tokenization/AToken",
        "protocol/tokenization/StableDebtToken",
        "protocol/tokenization/VariableDebtToken",
        "misc/AaveOracle",
        "mocks/oracle/CLAggregators/MockAggregator",
        "mocks/oracle/LendingRateOracle",
    ),
}
OURS = ("DevToken", "NoReturnToken", "DssFlashStandIn", "Multicall3Lite", "Executor", "DevTrader")


def node_modules() -> Path:
    """Where npm put the pinned packages; ARBTUI_NODE_MODULES overrides it."""
    return Path(os.environ.get("ARBTUI_NODE_MODULES") or ROOT / "node_modules")


class Artifacts:
    """The files the deployment uses, read once. Raises DevnetError where one is missing or unreadable."""

    def __init__(self) -> None:
        modules, ours = node_modules(), contracts_folder()
        files = {name: modules / path for name, path in PROTOCOLS.items()}
        files |= {name: ours / f"{name}.json" for name in OURS}
        self._raw: dict[str, bytes] = {}
        for name, path in files.items():
            try:
                self._raw[name] = path.read_bytes()
            except OSError as error:
                raise DevnetError(
                    f"{path}: the compiled {name} is missing ({error.strerror}); run `make setup`"
                ) from error
        self._parsed: dict[str, dict[str, Any]] = {}

    @cached_property
    def digest(self) -> str:
        """sha256 over names and contents."""
        total = hashlib.sha256()
        for name in sorted(self._raw):
            total.update(f"{name}:{hashlib.sha256(self._raw[name]).hexdigest()}\n".encode())
        return total.hexdigest()

    def creation_code(self, name: str, libraries: Mapping[str, Address] | None = None) -> bytes:
        """Creation code with `libraries` (by contract name) linked in."""
        parsed = self._load(name)
        text = str(parsed.get("bytecode") or parsed.get("creationCode") or "").removeprefix("0x")
        for contracts in (parsed.get("linkReferences") or {}).values():
            for library, places in contracts.items():
                address = (libraries or {})[library][2:].lower()
                for place in places:
                    start, length = 2 * place["start"], 2 * place["length"]
                    text = text[:start] + address + text[start + length :]
        return self._hex(name, text)

    def runtime_code(self, name: str) -> bytes:
        """Deployed code of one of our own contracts without immutables."""
        return self._hex(name, str(self._load(name)["deployedBytecode"]).removeprefix("0x"))

    def _load(self, name: str) -> dict[str, Any]:
        if name not in self._parsed:
            try:
                parsed = json.loads(self._raw[name])
            except ValueError as error:
                raise DevnetError(f"the compiled {name} is not JSON; run `make setup` again") from error
            self._parsed[name] = parsed
        return self._parsed[name]

    @staticmethod
    def _hex(name: str, text: str) -> bytes:
        try:
            code = bytes.fromhex(text)
        except ValueError as error:
            raise DevnetError(
                f"the compiled {name} has no usable bytecode; run `make setup` again"
            ) from error
        if not code:
            raise DevnetError(f"the compiled {name} has no bytecode; run `make setup` again")
        return code
