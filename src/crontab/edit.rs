//! Changing one entry of a crontab and leaving every other byte alone.
