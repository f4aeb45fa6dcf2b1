"""The two ways in which the platform says no to a person. Everything else that is raised is a defect."""


class TagPlatformError(Exception):
    """Something outside failed or forbids to go on. The message says what, where, and what to do. Exit code 1."""

    exit_code = 1


class BadInput(TagPlatformError):
    """What was asked for is wrong: a rule, an option, a configuration. Refused before anything is written. Exit 2."""

    exit_code = 2
