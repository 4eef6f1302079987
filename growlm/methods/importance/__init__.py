"""Which units of a module matter to a skill: measures of importance, one a file, and what is made of them."""
