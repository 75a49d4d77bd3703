import pytest

from shoal_operator.__main__ import main
from shoal_operator.errors import SettingsError
from shoal_operator.settings import load

IMAGE = "docker.io/shoal/worker:1"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setenv("SHOAL_OPERATOR_WORKER_IMAGE", IMAGE)
    return monkeypatch


def test_settings_come_from_the_environment(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("SHOAL_OPERATOR_WATCH_NAMESPACES", "a, b,,a")
    environment.setenv("SHOAL_OPERATOR_STORE_URI", "s3://bucket/prefix")
    environment.setenv("SHOAL_OPERATOR_STORE_SECRET_NAME", "")
    environment.setenv("SHOAL_OPERATOR_LOG_LEVEL", "debug")
    settings = load()
    assert settings.watch_namespaces == ("a", "b")
    assert settings.log_level == "DEBUG"
    assert (settings.defaults.worker_image, settings.defaults.store_secret_name) == (IMAGE, None)


def test_two_processes_never_share_an_identity_by_default() -> None:
    assert load().identity != load().identity


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("WORKER_IMAGE", "", "WORKER_IMAGE is empty; set it to the image of the workers"),
        ("STORE_URI", "gs://x", "STORE_URI is 'gs://x'; it must start with s3:// or file://"),
        ("WATCH_NAMESPACES", "Team A", "contains 'Team A', which is no namespace's name"),
        ("CONCURRENCY", "many", "SHOAL_OPERATOR_CONCURRENCY: .*integer.*; correct the variable or unset it"),
        ("RESYNC_SECONDS", "0", "SHOAL_OPERATOR_RESYNC_SECONDS: .*greater than or equal to 5"),
        ("LOG_LEVEL", "loud", "SHOAL_OPERATOR_LOG_LEVEL: .*'DEBUG'"),
    ],
)
def test_a_wrong_setting_is_named_with_its_remedy(
    environment: pytest.MonkeyPatch, name: str, value: str, told: str
) -> None:
    environment.setenv(f"SHOAL_OPERATOR_{name}", value)
    with pytest.raises(SettingsError, match=told):
        load()


def test_the_command_explains_itself_and_refuses_wrong_settings(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    assert "shoal-operator --kubeconfig" in capsys.readouterr().out
    environment.setenv("SHOAL_OPERATOR_WORKER_IMAGE", "")
    assert main([]) == 2
    assert "WORKER_IMAGE is empty" in capsys.readouterr().err
