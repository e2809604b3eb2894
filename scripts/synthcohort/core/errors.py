"""The one exception that is meant for users."""


class UserError(Exception):
    """Something the user can mend, said in one sentence.

    The sentence names the config key or the file (by its ``file_id``, never by a path that could name a patient) and
    the way out. Jobs print it without a traceback and end with exit code 1.
    """
