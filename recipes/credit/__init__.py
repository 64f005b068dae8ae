"""An experiment: what reward, credit and curriculum change in a policy that may take tokens back."""
