"""Tests of the gateway on its own store that hold as they are with another server behind it."""

from tests.gateway.test_feed import *
from tests.gateway.test_ingest import *
from tests.gateway.test_late_refusals import *
from tests.gateway.test_missing_stubs import *
from tests.gateway.test_policy import *
from tests.gateway.test_reading import *
from tests.gateway.test_session import *
from tests.gateway.test_writing import *
from tests.gateway.test_failures import *
from tests.gateway.test_push import *
