//! The PROXY protocol, versions 1 and 2: who really connects, told by a proxy before the first byte of a connection.
