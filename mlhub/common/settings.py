"""Settings, from `MLHUB_*` variables and, where `MLHUB_CONFIG` names one, a TOML file.

Variables win over the file. `MLHUB_BACKENDS` takes the whole table of backends as JSON.
"""

import difflib
import os
import re
import tomllib
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)
from pydantic_settings.exceptions import SettingsError as SourceError

from mlhub.common.addresses import Reach
from mlhub.common.backend import (
    MIB,
    PROTOCOLS,
    BackendName,
    BackendSettings,
    Count,
    CredentialSettings,
    Seconds,
    Timeout,
)
from mlhub.common.errors import MLHubError
from mlhub.common.model import ModelType
from mlhub.common.places import (
    BrokerAddress,
    DatabaseAddress,
    DatabaseName,
    Host,
    StorePlace,
    Token,
    WebAddress,
)
from mlhub.common.pool import PoolKind, PoolSettings
from mlhub.common.webhook import secrets_of

SERVER_PORTS: Final = {"sklearn": 8191, "pytorch": 8192, "keras": 8193, "tensorflow": 8194}
"""Where MLHub's own model servers listen unless they are told otherwise, by the name of the framework."""
FRAMEWORK_TYPES: Final = {
    "sklearn": ModelType.SKLEARN,
    "pytorch": ModelType.PYTORCH,
    "keras": ModelType.KERAS,
    "tensorflow": ModelType.TENSORFLOW,
}
"""What each of them serves."""
Framework = Literal["sklearn", "pytorch", "keras", "tensorflow"]
"""The name of one of them."""


_NESTED: Final = ("backends", "pools")
"""Settings that have settings inside of them."""
_JSON_EXAMPLES: Final = {
    "backends": '{"sklearn": {"addresses": ["http://127.0.0.1:8191"], "types": ["ScikitLearn"]}}',
    "pools": '{"predict": {"maximum": 4}}',
    "frameworks": '["sklearn", "keras"]',
}
"""What the variables of such settings look like."""


class SettingsError(MLHubError):
    """The hub's own settings are wrong; said when a process starts."""

    code = "bad_settings"


def _checked_secret(value: str) -> str:
    secrets_of(value)
    return value


def _agreeing(backends: dict[str, BackendSettings]) -> dict[str, BackendSettings]:
    """See that each is of a known protocol, and that new models of a type have one place to go."""
    serving: dict[ModelType, str] = {}
    for name, backend in backends.items():
        if backend.protocol not in PROTOCOLS:
            raise ValueError(f"the 'protocol' of {name!r} has to be one of {', '.join(PROTOCOLS)}")
        for model_type in backend.types:
            other = serving.setdefault(model_type, name)
            if other != name:
                raise ValueError(
                    f"both {other!r} and {name!r} serve {model_type} models; take {model_type} from the "
                    "'types' of one of them"
                )
    return backends


def _networks(value: object) -> object:
    """Take networks between commas apart, which are easier to set than JSON."""
    if not isinstance(value, str) or value.strip().lower() in {"true", "false", "1", "0"}:
        return value
    return [item.strip(' "') for item in value.strip(" []").split(",")]


class Settings(BaseSettings):
    """Everything that can be set, with the defaults of one machine."""

    model_config = SettingsConfigDict(
        env_prefix="MLHUB_", frozen=True, extra="forbid", use_attribute_docstrings=True
    )

    broker_url: BrokerAddress = "amqp://guest:guest@127.0.0.1:5672//"
    """RabbitMQ."""
    management_url: WebAddress | None = None
    """Base address of RabbitMQ's management API, which knows more of queues than AMQP tells; with name and
    password of its own (`http://name:password@host:15672`), or else with those of the broker."""
    flower: bool = False
    """Whether `mlhub up` runs Flower, Celery's monitor, beside the hub."""
    flower_url: WebAddress | None = None
    """Address of Flower, Celery's monitor, where it runs beside the hub: the monitor page links to it."""
    mongodb_url: DatabaseAddress = "mongodb://127.0.0.1:27017/"
    """MongoDB, or any server that speaks its protocol."""
    database: DatabaseName = "mlhub"
    """Name of the database in it."""
    bundles: StorePlace = "bundles"
    """The bundle store: a folder, `gridfs` for the database, or an address such as `s3://bucket/prefix`."""
    s3_endpoint: WebAddress | None = None
    """Address of an object store that is not Amazon's."""
    s3_key: str | None = None
    """Access key; without one, those of the environment (`AWS_…`) or of the machine's role."""
    s3_secret: str | None = None
    """Its secret."""
    s3_region: str | None = None
    """Region of the bucket, where the store has regions."""
    host: Host = "127.0.0.1"
    """Address the API listens on; any but loopback needs a token."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8181
    """Port the API listens on."""
    api_processes: Annotated[int, Field(gt=0, le=1000)] = 1
    """Processes of the API."""
    token: Token | None = None
    """Bearer token that every call but health must carry; none means no login."""
    run_dir: Path = Path()
    """Folder for control sockets and the like."""
    log_format: Literal["text", "json"] = "text"
    """How log lines look."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    backends: Annotated[dict[BackendName, BackendSettings], AfterValidator(_agreeing)] = Field(
        default_factory=lambda: {
            name: BackendSettings(addresses=(f"http://127.0.0.1:{port}",), types=(FRAMEWORK_TYPES[name],))
            for name, port in SERVER_PORTS.items()
        }
    )
    """Backends by name; without any, one for each of MLHub's own model servers on this machine."""
    frameworks: tuple[Framework, ...] | None = None
    """Frameworks that `mlhub up` starts a model server for; without any, each that is installed."""

    pools: dict[PoolKind, PoolSettings] = {}
    """Sizes and rules of pools, for backends that have none of their own."""
    scaler: Literal["circus", "kubernetes"] = "circus"
    """Who runs the processes that `mlhub scaler` has started and ended."""
    scale_interval: Annotated[float, Field(gt=0, le=5, allow_inf_nan=False)] = 1.0
    """Seconds between two looks of the scaler at each pool."""
    kubernetes_prefix: str = "mlhub-"
    """What the names of the pools' deployments begin with: `mlhub-predict-sklearn`."""

    max_json_bytes: Count = 16 * MIB
    """Bytes a JSON body may have."""
    max_bundle_bytes: Count = 5 * 1024 * MIB
    """Bytes an uploaded bundle may have."""
    upload_ttl: Seconds = 2 * 86400.0
    """Seconds in which a resumable upload has to be complete."""
    upload_grace: Seconds = 3600.0
    """Seconds after which temporary files of processes that died in an upload are cleared away."""
    max_import_bytes: Count = 50 * 1024 * MIB
    """Bytes an imported model may have, with all its versions."""
    max_unpacked_bytes: Count = 8 * 1024 * MIB
    """Bytes an unpacked bundle may have."""
    max_unpacked_files: Count = 10_000
    """Files an unpacked bundle may have."""
    max_unpacked_ratio: Count = 200
    """How many times its own size a bundle may unpack to."""
    max_prediction_bytes: Count = 12 * MIB
    """Bytes of tensors one asynchronous prediction may take or give."""
    max_inline_bytes: Count = MIB
    """Bytes of tensors that stand in an asynchronous prediction's document; more go to the bundle store."""
    bulk_slots: Count = 4
    """Chunks of one bulk prediction that may be in the queue or at work at once."""
    allow_pickles: bool = False
    """Whether bundles may hold pickles, which can run any code when they are loaded."""

    max_pending: Count = 10_000
    """Requests that may wait in one API process; beyond that clients get 503."""
    broker_grace: Timeout = 5.0
    """Seconds that waiting requests survive without a broker before they get 503."""
    route_ttl: Seconds = 1.0
    """Seconds an API process may trust what it knows of a model's versions."""
    default_wait: Timeout = 30.0
    """Seconds a client waits for a prediction unless it says otherwise."""
    max_wait: Timeout = 300.0
    """Most seconds a client may ask to wait."""
    lease: Seconds = 15.0
    """Seconds after which asynchronous predictions whose worker shows no sign of life are taken over."""
    claim: Seconds = 30.0
    """Seconds after which a validation or removal whose worker shows no sign of life is taken over."""
    step_timeout: Seconds = 300.0
    """Seconds one step of validation may take; calls to model servers have limits of their own besides."""
    job_attempts: Count = 8
    """How often a job is tried before its record fails."""
    job_deadline: Seconds = 86400.0
    """Seconds after which an asynchronous prediction fails that was not done."""
    sweep_interval: Seconds = 15.0
    """Seconds between two looks for records whose message was lost."""
    reconcile_interval: Seconds = 10.0
    """Seconds between two looks for ready versions that a model server does not have."""
    prediction_ttl: Seconds = 7 * 86400.0
    """Seconds an asynchronous prediction is kept."""

    webhook_secret: Annotated[str, AfterValidator(_checked_secret)] | None = None
    """What webhooks are signed with, base64, several between spaces; without one there are no webhooks."""
    webhook_private: Annotated[
        bool | tuple[IPv4Network | IPv6Network, ...], NoDecode, BeforeValidator(_networks)
    ] = False
    """Whether webhooks may go to private addresses, or the networks that they may go to."""
    webhook_attempts: Count = 8
    """How often a webhook is called until it answers with success."""
    webhook_pause: Seconds = 5.0
    """Seconds between its first two calls; each further pause is four times as long, up to six hours."""
    webhook_timeout: Timeout = 10.0
    """Seconds in which the receiver of a webhook has to answer."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read arguments first, then variables, then the TOML file."""
        del dotenv_settings, file_secret_settings
        toml = TomlConfigSettingsSource(settings_cls, os.environ.get("MLHUB_CONFIG") or None)
        return (init_settings, env_settings, toml)

    @property
    def webhook_reach(self) -> Reach:
        """Where webhooks may go."""
        if isinstance(self.webhook_private, bool):
            return Reach(everywhere=self.webhook_private)
        return Reach(networks=self.webhook_private)

    def backend_for(self, model_type: ModelType) -> str | None:
        """Name the backend that serves a type by default, if one does."""
        return next((name for name, backend in self.backends.items() if model_type in backend.types), None)

    def pool(self, backend: BackendSettings, kind: PoolKind) -> PoolSettings:
        """Return the settings of a backend's pool."""
        return backend.pools.get(kind) or self.pools.get(kind) or PoolSettings()


def load_settings() -> Settings:
    """Read the settings of this process.

    Raises:
        SettingsError: one of them is wrong; the sentence names it.
    """
    file = os.environ.get("MLHUB_CONFIG")
    # A file that is not there would be passed over, and all that was wished for with it.
    if file and not Path(file).is_file():
        raise SettingsError(f"MLHUB_CONFIG names {file}, and there is no such file.")
    try:
        return Settings()
    except ValidationError as error:
        raise _wrong(error.errors(include_input=False, include_url=False)[0]) from error
    except SourceError as error:
        # Neither text has the value, which may be a secret.
        named = re.search(r'field "(\w+)"', str(error))
        name = "…" if named is None else named[1]
        cause = error.__cause__
        reason = f" ({cause})" if isinstance(cause, ValueError) else ""
        example = f"; it looks like {_JSON_EXAMPLES[name]}" if name in _JSON_EXAMPLES else ""
        raise SettingsError(f"The setting MLHUB_{name.upper()} is no JSON{reason}{example}.") from error
    except RecursionError:
        raise SettingsError("The settings are nested too deep to be any of this hub's.") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"The file that MLHUB_CONFIG names cannot be read: {error}.") from error


def _wrong(found: ErrorDetails) -> SettingsError:
    """Say what is wrong with a setting, without its value, by both of its names."""
    place = [str(part) for part in found["loc"] if part != "[key]"]
    # Inside of other settings than these are only the kinds of value that were tried.
    key = place if place[0] in _NESTED else place[:1]
    if found["type"] == "extra_forbidden":
        close = difflib.get_close_matches(key[-1].lower(), _known(place), 1)
        what = f"there is no such setting{f'; did you mean {close[0]!r}?' if close else ''}"
    else:
        what = found["msg"].removeprefix("Value error, ")
    if found["type"] in {"tuple_type", "dict_type"} and place[-1] in _JSON_EXAMPLES:
        what = f"write JSON such as {_JSON_EXAMPLES[place[-1]]}"
    return SettingsError(
        f"The setting MLHUB_{place[0].upper()} ('{'.'.join(key)}' in a TOML file) is wrong: "
        f"{what[:1].lower()}{what[1:].rstrip('.?')}."
    )


def _known(place: Sequence[str]) -> list[str]:
    """Return the names that there are beside a setting."""
    if len(place) == 1:
        return [*Settings.model_fields]
    if "pools" in place[:-1]:
        return [*PoolSettings.model_fields]
    return [*(CredentialSettings if "credentials" in place[:-1] else BackendSettings).model_fields]
