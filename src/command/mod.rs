//! The command room.
