"""How long the driver tries: as the code says, unless the address says something else."""

from mlhub.storage.database import connect


def test_what_the_address_says_holds() -> None:
    url = "mongodb://hub.example/?connectTimeoutMS=60000&SERVERSELECTIONTIMEOUTMS=70000"
    with connect(url, "mlhub", patience=1000, answer=2000).client as client:
        assert client.options.server_selection_timeout == 70
        assert client.options.pool_options.connect_timeout == 60
        assert client.options.pool_options.socket_timeout == 2
    with connect("mongodb://hub.example/", "mlhub", patience=1000).client as client:
        assert client.options.server_selection_timeout == 1
