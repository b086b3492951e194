import pytest

from portcullis import Demo


@pytest.fixture(scope="session")
def demo():
    """One installation for tests that do not disturb each other."""
    with Demo() as running:
        yield running
        assert "panicked" not in running.log()


@pytest.fixture
def own_demo():
    """An installation for one test alone."""
    with Demo() as running:
        yield running
        assert "panicked" not in running.log()


@pytest.fixture
def source():
    """An address that no other test comes from, so that limits do not meet."""
    conftest_sources.append(len(conftest_sources) + 10)
    number = conftest_sources[-1]
    return f"127.1.{number // 250}.{number % 250 + 1}"


conftest_sources = []
