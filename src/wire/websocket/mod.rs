//! WebSocket (RFC 6455): frames and what is in them. Bytes only; what a broken frame means for its sender decides
//! `connection`.
