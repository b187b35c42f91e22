//! The canonical field strings of the Python service: for the id only.
