"""Dataset adapters: each turns one dataset's own tables into one tidy label table; all that follows is shared."""
