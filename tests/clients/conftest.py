import os
import subprocess
import time

import pytest

import registrant
from bank import WAYS, Bank
from listener import Listener, certificate
from portcullis import Demo, log_in
from relying_party import Party


@pytest.fixture(scope="session")
def demo():
    """One installation for tests that do not disturb each other."""
    with Demo() as running:
        yield running
        assert "panicked" not in running.log()


@pytest.fixture
def own_demo():
    """An installation for one test alone."""
    with Demo(watched=True) as running:
        yield running
        assert "panicked" not in running.log()


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    """The certificate of clients' own servers."""
    return certificate(tmp_path_factory.mktemp("client"))


@pytest.fixture(scope="session")
def op(files):
    """An installation where clients register themselves."""
    with Demo(registrant.config(files)) as running:
        yield running
        assert "panicked" not in running.log()


@pytest.fixture
def there(files):
    return Listener(files[0])


@pytest.fixture
def browser(op, source):
    """Bob's, logged in where clients register themselves."""
    bob = op.facts()["users"][1]
    browser = op.client(source)
    assert log_in(browser, bob["username"], bob["password"]).status_code == 303
    return browser


@pytest.fixture
def party(demo, source):
    """A client with Alice, who is logged in."""
    return Party(demo, source).log_in()


@pytest.fixture(params=[WAYS[0], WAYS[3]], ids="+".join)
def bank(request, demo, source):
    """A client under FAPI 2.0: once with private_key_jwt and DPoP, once with certificates alone."""
    return Bank(demo, source, *request.param)


@pytest.fixture
def signing(demo, source):
    """With private_key_jwt and DPoP, where the test is about one of them."""
    return Bank(demo, source)


@pytest.fixture
def source():
    """An address that no other test comes from, so that limits do not meet."""
    conftest_sources.append(len(conftest_sources) + 10)
    number = conftest_sources[-1]
    return f"127.1.{number // 250}.{number % 250 + 1}"


conftest_sources = []


@pytest.fixture
def postgres_url():
    server = os.environ.get("PORTCULLIS_TEST_POSTGRES")
    assert server, "set PORTCULLIS_TEST_POSTGRES, or run `cargo xtask test`"
    schema = f"clients_{time.monotonic_ns()}"
    subprocess.run(["psql", server, "-qc", f"CREATE SCHEMA {schema}"], check=True)
    return server, schema
