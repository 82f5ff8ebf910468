//! Provider adapters by dialect: request edits, send, classify errors, sniff the stream.
