//! exit.
