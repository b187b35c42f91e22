//! The grammar of lines.
