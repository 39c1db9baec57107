"""Row-level security below the views: whoever asks through them sees no row without a grant, whatever a view
forgets to say.

The conditions stand in the views as well, since rows are found by them: a policy is asked of every row that
is looked at. Policies are for the views' owner only. Everybody else whom row security binds sees no row of
these tables and may not `COPY` into them: the service's role therefore has BYPASSRLS, before anything is
switched on and in the same transaction.

| what happens | what follows |
|---|---|
| policy and switch are as they should be | no table is locked |
| they are not | it waits ten seconds at most for who uses the table, then fails: run it again |
| another role writes these tables and would be bound | refused with its name, nothing has changed |
| another role reads them and would be bound | told with its name: a policy of its own shows it rows again |
| a service is bound all the same | it does not start: `bound` |
"""

import hashlib
from collections.abc import Iterator
from typing import Final

from psycopg import sql

from reporting.research import views
from reporting.research.roles import ROWS_OWNER
from sync_server.researchers.bound import FENCED

POLICY: Final = "research"

# A policy is made anew only where it is another: that locks the table against everybody.
_FENCE: Final = """
DO $$ BEGIN
    IF NOT EXISTS (
        SELECT FROM pg_policy
        WHERE polrelid = {regclass}::regclass AND polname = {policy_name}
          AND obj_description(oid, 'pg_policy') = {mark}
    ) THEN
        DROP POLICY IF EXISTS {policy} ON {table};
        CREATE POLICY {policy} ON {table} FOR SELECT TO {rows_owner} USING ({condition});
        COMMENT ON POLICY {policy} ON {table} IS {mark};
    END IF;
    IF NOT (SELECT relrowsecurity FROM pg_class WHERE oid = {regclass}::regclass) THEN
        ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
    END IF;
END $$
"""

_REFUSE_BOUND: Final = """
DO $$
DECLARE writers text; readers text;
BEGIN
    SELECT string_agg(rolname, ', ' ORDER BY rolname) FILTER (WHERE writes),
           string_agg(rolname, ', ' ORDER BY rolname) FILTER (WHERE NOT writes)
    INTO writers, readers
    FROM (
        SELECT rolname, bool_or(has_table_privilege(r.oid, c.oid, 'INSERT')) AS writes
        FROM pg_roles AS r JOIN pg_class AS c ON c.oid = ANY ({tables}::regclass[])
        WHERE rolcanlogin AND NOT rolsuper AND NOT rolbypassrls AND NOT pg_has_role(r.oid, relowner, 'USAGE')
          AND has_any_column_privilege(r.oid, c.oid, 'SELECT, INSERT')
          AND NOT EXISTS (
              SELECT FROM pg_policy, unnest(polroles) AS of (role)
              WHERE polrelid = c.oid AND polname <> {policy_name}
                AND (of.role = 0 OR pg_has_role(r.oid, of.role, 'USAGE'))
          )
        GROUP BY rolname
    ) AS bound;
    IF writers IS NOT NULL THEN
        RAISE EXCEPTION 'row-level security would hide the rows of sessions, participants and visits from %,'
            ' who write them: a superuser runs ALTER ROLE ... BYPASSRLS for the service''s role'
            ' (`sync-server researchers sql --service-role`)', writers;
    ELSIF readers IS NOT NULL THEN
        RAISE WARNING 'row-level security hides the rows of sessions, participants and visits from %:'
            ' give them ALTER ROLE ... BYPASSRLS, or a policy of their own (... USING (true))', readers;
    END IF;
END $$
"""


def fence_statements() -> Iterator[sql.Composed]:
    """Those that put policies up and switch row security on, for the tables' owner; in a transaction."""
    tables = sql.Literal([f"public.{table}" for table in FENCED])
    names = {"tables": tables, "policy_name": sql.Literal(POLICY)}
    yield sql.SQL(_REFUSE_BOUND).format(**names)
    # Behind a lock that is waited for, everybody else waits too.
    yield sql.Composed([sql.SQL("SET LOCAL lock_timeout = '10s'")])
    for table, condition in views.row_conditions().items():
        yield sql.SQL(_FENCE).format(
            regclass=sql.Literal(f"public.{table}"),
            table=sql.Identifier("public", table),
            policy=sql.Identifier(POLICY),
            policy_name=sql.Literal(POLICY),
            rows_owner=sql.Identifier(ROWS_OWNER),
            condition=sql.SQL(condition),  # our own text
            mark=sql.Literal(f"made from {hashlib.sha256(condition.encode()).hexdigest()[:16]}"),
        )
    yield sql.Composed([sql.SQL("SET LOCAL lock_timeout = DEFAULT")])
