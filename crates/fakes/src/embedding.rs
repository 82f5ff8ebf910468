//! Embedding vectors made from the text alone, as numbers or as the base64 that SDKs ask for.

use serde_json::{Value, json};

use crate::request::Asked;

const DIMENSIONS_DEFAULT: usize = 8;
const DIMENSIONS_MAX: usize = 4096;
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The `data` list of an answer: one vector for each input.
pub(crate) fn data(asked: &Asked) -> Vec<Value> {
    let dimensions = asked.dimensions.unwrap_or(DIMENSIONS_DEFAULT).clamp(1, DIMENSIONS_MAX);
    let base64 = asked.encoding_format.as_deref() == Some("base64");
    inputs(asked.input.as_ref())
        .iter()
        .enumerate()
        .map(|(index, input)| {
            let vector = vector(&input.to_string(), dimensions);
            let embedding = if base64 { Value::String(encode(&vector)) } else { json!(vector) };
            json!({"object": "embedding", "index": index, "embedding": embedding})
        })
        .collect()
}

/// A list of numbers is one input; a list of strings or of lists is many.
fn inputs(input: Option<&Value>) -> Vec<Value> {
    match input {
        Some(Value::Array(list)) if list.first().is_none_or(|first| !first.is_number()) => list.clone(),
        Some(one) => vec![one.clone()],
        None => Vec::new(),
    }
}

/// Multiples of 1/128 between -1 and 1: exact in every float format, so tests may compare them.
fn vector(text: &str, dimensions: usize) -> Vec<f32> {
    let mut state = text
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    (0..dimensions)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            f32::from(i8::from_le_bytes([state.to_be_bytes()[0]])) / 128.0
        })
        .collect()
}

fn encode(vector: &[f32]) -> String {
    let bytes: Vec<u8> = vector.iter().flat_map(|number| number.to_le_bytes()).collect();
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let word = group.iter().enumerate().fold(0_u32, |word, (at, byte)| word | u32::from(*byte) << (16 - 8 * at));
        for position in 0..4 {
            let six = usize::try_from(word >> (18 - 6 * position) & 63).unwrap_or(0);
            text.push(if position <= group.len() { char::from(ALPHABET[six]) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_carries_little_endian_floats_with_padding() {
        assert_eq!(encode(&[1.0]), "AACAPw==");
        assert_eq!(encode(&[0.25, -0.5]), "AACAPgAAAL8=");
    }

    #[test]
    fn the_same_text_has_the_same_vector() {
        assert_eq!(vector("a b", 8), vector("a b", 8));
        assert_ne!(vector("a b", 8), vector("a c", 8));
    }
}
