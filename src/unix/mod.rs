//! System calls: the only room with unsafe code.
