"""postgresql.conf and pg_hba.conf as text, written anew at every start.

An operator tunes with `ALTER SYSTEM`, which wins over these files and survives.
"""

from pathlib import Path

SUPERUSER = "postgres"

_MB = 1024 * 1024


def server_settings(
    *, port: int, socket_directory: Path, host_rules: Path, memory_bytes: int, durable: bool
) -> str:
    """postgresql.conf for a machine with `memory_bytes` of memory that other processes use as well.

    `durable=False` is for tests alone: a crash of the machine may then destroy the cluster. A crash of the
    server's processes alone still loses nothing.
    """
    durability = "on" if durable else "off"
    shared = min(max(memory_bytes // 8, 64 * _MB), 256 * _MB)
    cached = min(max(memory_bytes // 2, 256 * _MB), 8192 * _MB)
    settings = {
        # An acknowledged commit is on the disk; without fsync, in the operating system's hands.
        "synchronous_commit": "on",
        "fsync": durability,
        "full_page_writes": durability,
        "listen_addresses": "127.0.0.1",
        "port": str(port),
        # The setting is a list: a comma in the path is protected by double quotes.
        "unix_socket_directories": '"' + str(socket_directory).replace('"', '""') + '"',
        "unix_socket_permissions": "0700",
        "hba_file": str(host_rules),
        "password_encryption": "scram-sha-256",
        "max_connections": "100",
        "shared_buffers": f"{shared // _MB}MB",
        "effective_cache_size": f"{cached // _MB}MB",
        "maintenance_work_mem": "64MB",
        # Fewer checkpoints, thus fewer full pages in the log while a backlog of sessions comes in.
        "max_wal_size": "2GB",
        "checkpoint_timeout": "15min",
        # Short statements over many partitions of work: compiling them costs more than it saves.
        "jit": "off",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "log_line_prefix": "%m [%p] %q%u@%d ",
        "log_checkpoints": "off",
        # Participants' data stays out of the log: no statement, no parameter, no row that violates something.
        "log_min_error_statement": "panic",
        "log_error_verbosity": "terse",
        "log_parameter_max_length_on_error": "0",
    }
    lines = [f"{name} = '{_quoted(value)}'" for name, value in settings.items()]
    return "# Written at every start. To change a setting: ALTER SYSTEM SET …\n" + "\n".join(lines) + "\n"


def host_rules() -> str:
    """pg_hba.conf: everybody by password (SCRAM), the superuser through the socket only."""
    rules = (
        ("local", "all", "all", "", "scram-sha-256"),
        ("host", "all", SUPERUSER, "127.0.0.1/32", "reject"),
        ("host", "all", "all", "127.0.0.1/32", "scram-sha-256"),
    )
    return "# Written at every start.\n" + "".join("\t".join(rule) + "\n" for rule in rules)


def _quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "''")
