//! HTTP/1.1 (RFC 9112): request heads, bodies and answers as bytes. Who is asked for what decides `gateway`.
