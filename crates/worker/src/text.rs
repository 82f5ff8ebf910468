//! Text and tokens: encoding, decoding as tokens come, chat templates, stop sequences.

pub mod decode;
pub mod stop;
pub mod template;
pub mod tokenizer;
