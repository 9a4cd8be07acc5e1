"""The fake driver that ships, under the name that older tests import."""

from persistentdb.testing.fake import *  # noqa: F403
