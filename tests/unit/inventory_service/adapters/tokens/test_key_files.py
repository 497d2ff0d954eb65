"""The key for a token: by its algorithm and name, from files that are read anew when they have changed."""

from pathlib import Path

import pytest

from inventory_service.adapters.reloaded_files import UnusableFile
from tests.tokens import SECRET, ec_key, ed_key, rsa_key, write
from tests.unit.inventory_service.adapters.tokens.key_folder import KeyFolder, found

EC, ED, RSA = ec_key(), ed_key(), rsa_key()


@pytest.fixture
def folder(tmp_path: Path) -> KeyFolder:
    return KeyFolder(tmp_path)


def test_a_secret_is_for_one_algorithm_alone(folder: KeyFolder) -> None:
    """A `kid` is not looked at: there is one secret."""
    write(folder.secret, SECRET)
    keys = folder.read()

    assert [found(keys, "HS256", kid) for kid in (None, "any", 7)] == ["HS256"] * 3
    assert {found(keys, name) for name in ("HS512", "RS256", "ES256", "EdDSA", "none", "", None, 7, ["HS256"])} == {
        "wrong_algorithm"
    }


def test_public_keys_never_verify_by_hs256(folder: KeyFolder) -> None:
    """Every caller knows a public key, and could sign with it."""
    folder.publish(RSA)

    assert found(folder.read(), "HS256") == "wrong_algorithm"
    assert found(folder.read(), "HS256", "rsa") == "wrong_algorithm"


def test_a_key_is_for_its_own_algorithm(folder: KeyFolder) -> None:
    """Whatever the token says."""
    folder.publish(RSA, EC, ED)
    keys = folder.read()

    assert [found(keys, key.algorithm, key.kid) for key in (RSA, EC, ED)] == [
        "rsa (RS256)",
        "ec (ES256)",
        "ed (EdDSA)",
    ]
    others: list[object] = ["none", "RS512", "PS256", "ES384", "EdDSA", None, {}]
    for name in others:
        assert found(keys, name, "rsa") == "wrong_algorithm"


def test_both_kinds_of_keys_may_be_set(folder: KeyFolder) -> None:
    """So that callers go from the one to the other."""
    write(folder.secret, SECRET)
    folder.publish(EC)
    keys = folder.read()

    assert [found(keys, "HS256"), found(keys, "ES256"), found(keys, "ES256", "ec")] == ["HS256", *["ec (ES256)"] * 2]


def test_a_token_names_its_key_where_there_are_several(folder: KeyFolder) -> None:
    """Trying one after the other would let a weak one stand for all."""
    folder.publish(EC)
    assert found(folder.read(), "ES256") == "ec (ES256)"
    assert found(folder.read(), "ES256", "another") == "unknown_key"

    folder.publish(EC, ED)
    assert found(folder.read(), "ES256") == "no_kid"


def test_a_key_without_a_name_is_for_tokens_of_any(folder: KeyFolder) -> None:
    """It is the only one."""
    folder.publish(EC._replace(kid=""))

    assert found(folder.read(), "ES256", "any") == "ES256"


def test_a_key_that_is_unknown_is_looked_for_at_once_and_then_once_a_second(folder: KeyFolder) -> None:
    """An issuer may sign with it as soon as it is published, and callers cannot keep the server reading."""
    folder.publish(EC)
    keys = folder.read()
    assert found(keys, "EdDSA", "ed") == "unknown_key"

    folder.publish(EC, ED)
    folder.now_s += 0.9
    assert found(keys, "EdDSA", "ed") == "unknown_key"
    folder.now_s += 0.1
    assert found(keys, "EdDSA", "ed") == "ed (EdDSA)"


def test_keys_that_are_known_are_never_looked_for(folder: KeyFolder) -> None:
    """Only the look of each second finds that one was taken out."""
    folder.publish(EC, ED)
    keys = folder.read()
    folder.publish(EC)

    assert found(keys, "EdDSA", "ed") == "ed (EdDSA)"
    keys.files.check()
    assert found(keys, "EdDSA", "ed") == "unknown_key"


def test_the_keys_are_other_ones_once_they_have_changed_and_not_at_each_look(folder: KeyFolder) -> None:
    """What was verified before is judged anew."""
    folder.publish(EC)
    keys = folder.read()
    before = keys.files.current

    keys.files.check()
    assert keys.files.current is before
    folder.publish(EC, ED)
    keys.files.check()
    assert keys.files.current is not before


@pytest.mark.parametrize("broken", [b"", b'{"keys": [', b'{"keys": []}'])
def test_a_file_that_breaks_leaves_the_keys_of_before(folder: KeyFolder, broken: bytes) -> None:
    """A mistake in a change of keys must not lock every caller out."""
    folder.publish(EC)
    keys = folder.read()
    before = keys.files.current

    write(folder.public, broken)
    assert found(keys, "EdDSA", "ed") == "unknown_key"
    keys.files.check()
    assert (found(keys, "ES256", "ec"), keys.files.current) == ("ec (ES256)", before)
    folder.publish(ED)
    keys.files.check()

    assert found(keys, "EdDSA", "ed") == "ed (EdDSA)"
    assert folder.shown == [True, False, False, True]


def test_a_file_that_is_broken_at_the_start_ends_the_process(folder: KeyFolder) -> None:
    """The line names the setting and the file, and shows nothing of a secret."""
    write(folder.secret, b"a short secret\n")

    with pytest.raises(UnusableFile) as bad:
        folder.read()

    assert str(bad.value) == (
        f"HOLDFAST_AUTH_SECRET_FILE: {folder.secret} has 14 bytes, and a secret needs at least 32"
    )
