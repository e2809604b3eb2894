"""What is meant for users, and what a study can go on without."""


class UserError(Exception):
    """Something the user can mend, said in one sentence.

    The sentence names the config key or the file (by its ``file_id``, never by a path that could name a patient) and
    the way out. Jobs print it without a traceback and end with exit code 1.
    """


class TooFewImagesError(UserError):
    """A measurement that this cohort is too small for; a study goes on without it."""
