"""Redis, PostgreSQL and Apache Kafka that require TLS and a password, or a client certificate."""

from pathlib import Path

from holdfast_embedded.ports import LOOPBACK, free_port

from tests.certificates import Authority
from tests.real.apache_kafka import ApacheKafka, Listener
from tests.real.debian_postgres import DebianPostgres
from tests.real.redis_server import RedisServer
from tests.servers import connected

USER, PASSWORD = "ann", "s3cret-p/ss"
IN_URLS = f"{USER}:s3cret-p%2Fss"
SHARDS = 2
# The rights that Holdfast's processes need; docs/operations.md lists them.
REDIS_RIGHTS = "~holdfast:* +@read +@write +@scripting +@connection +info +time +config|get"
PLAIN_LOGIN = "org.apache.kafka.common.security.plain.PlainLoginModule"
SCRAM_LOGIN = "org.apache.kafka.common.security.scram.ScramLoginModule"


class SecuredRedis(RedisServer):
    """A second port has TLS; the default user may only run PING, INFO and QUIT, by which the tests wait for it."""

    def __init__(self, folder: Path, authority: Authority) -> None:
        files = authority.issue(folder)
        self.tls_port = free_port()
        users = folder / "users.acl"
        users.write_text(f"user default on nopass -@all +ping +info +quit\nuser {USER} on >{PASSWORD} {REDIS_RIGHTS}\n")
        settings = {
            "tls-port": str(self.tls_port),
            "tls-cert-file": str(files.certificate),
            "tls-key-file": str(files.key),
            "tls-auth-clients": "no",
            "aclfile": str(users),
        }
        super().__init__(folder, settings=settings)

    def url(self, user: str = IN_URLS, host: str = LOOPBACK, database: int = 0, ca: Path | None = None) -> str:
        return f"rediss://{user}@{host}:{self.tls_port}/{database}?ssl_ca_certs={ca}"


class SecuredPostgres(DebianPostgres):
    """The user ann needs TLS and a password; the tests' own user needs neither."""

    def __init__(self, folder: Path, authority: Authority) -> None:
        files = authority.issue(folder)
        rules = folder / "hba.conf"
        rules.write_text(f"hostssl all {USER} 0.0.0.0/0 scram-sha-256\nhost all holdfast 0.0.0.0/0 trust\n")
        settings = {
            "ssl": "on",
            "ssl_cert_file": str(files.certificate),
            "ssl_key_file": str(files.key),
            "hba_file": str(rules),
        }
        super().__init__(folder, settings=settings)

    async def create_user(self) -> None:
        """Create the user ann, who runs `holdfast migrate`."""
        async with connected(self.address) as admin:
            await admin.execute(f"create user {USER} password '{PASSWORD}'")
            await admin.execute(f"grant all on schema public to {USER}")

    def dsn(self, user: str = IN_URLS, host: str = LOOPBACK, database: str = "holdfast", ca: Path | None = None) -> str:
        return f"postgresql://{user}@{host}:{self.port}/{database}?sslmode=verify-full&sslrootcert={ca}"


def sasl_kafka(folder: Path, authority: Authority) -> ApacheKafka:
    """Kafka with SASL_SSL, and the mechanisms PLAIN and SCRAM-SHA-512."""
    files = authority.issue(folder)
    settings = {
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(files.both),
        "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-512",
        "plain.sasl.jaas.config": f'{PLAIN_LOGIN} required user_{USER}="{PASSWORD}";',
        "scram-sha-512.sasl.jaas.config": f"{SCRAM_LOGIN} required;",
    }
    return ApacheKafka(folder, SHARDS, Listener("SASL_SSL", settings, {USER: PASSWORD}))


def mutual_tls_kafka(folder: Path, authority: Authority) -> ApacheKafka:
    """Kafka that authenticates its clients by certificate."""
    files = authority.issue(folder)
    settings = {
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(files.both),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(authority.file),
        "ssl.client.auth": "required",
    }
    return ApacheKafka(folder, SHARDS, Listener("SSL", settings))
