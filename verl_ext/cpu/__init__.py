"""Everything that lets verl run without an accelerator; inert where there is one."""
