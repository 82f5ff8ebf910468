//! Writes `data/ranks.bin` and `data/classes.bin`: what `bpe-openai` and `regex` know, laid out as the crate reads it.

use std::{fs, io, path::Path};

use regex::Regex;

#[path = "../src/classes.rs"]
#[expect(dead_code, reason = "the reading half is the crate's")]
mod classes;
#[path = "../src/table.rs"]
#[expect(dead_code, reason = "the reading half is the crate's")]
mod table;

use classes::{BLOCK_CHARS, BLOCKS};
use table::{BUCKETS, NUMBER_BYTES, TOKEN_BYTES_MAX};

fn main() -> io::Result<()> {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("data");
    fs::write(data.join("ranks.bin"), ranks()?)?;
    fs::write(data.join("classes.bin"), classes()?)
}

fn ranks() -> io::Result<Vec<u8>> {
    let bpe = &bpe_openai::o200k_base().bpe;
    let mut buckets = vec![Vec::new(); BUCKETS];
    for rank in 0..u32::try_from(bpe.num_tokens()).map_err(io::Error::other)? {
        let token = bpe.token_bytes(rank);
        if token.len() > TOKEN_BYTES_MAX {
            return Err(io::Error::other(format!("token {rank} is longer than {TOKEN_BYTES_MAX} bytes")));
        }
        let bucket = &mut buckets[table::bucket(token)];
        bucket.push(u8::try_from(token.len()).map_err(io::Error::other)?);
        bucket.extend(number(rank)?);
        bucket.extend(token);
    }
    let mut offsets = number(0)?.to_vec();
    let mut end = 0;
    for bucket in &buckets {
        end += bucket.len();
        offsets.extend(number(u32::try_from(end).map_err(io::Error::other)?)?);
    }
    Ok([offsets, buckets.concat()].concat())
}

fn number(number: u32) -> io::Result<[u8; NUMBER_BYTES]> {
    match number.to_le_bytes() {
        [a, b, c, 0] => Ok([a, b, c]),
        _ => Err(io::Error::other(format!("{number} does not fit into {NUMBER_BYTES} bytes"))),
    }
}

fn classes() -> io::Result<Vec<u8>> {
    // In the order of `Class::ALL`; what is in none is in the last.
    let patterns = [r"[\p{Lu}\p{Lt}]", r"\p{Ll}", r"[\p{Lm}\p{Lo}]", r"\p{M}", r"\p{N}", r"[\r\n]", r"\s"];
    let patterns: Vec<Regex> =
        patterns.into_iter().map(Regex::new).collect::<Result<_, _>>().map_err(io::Error::other)?;
    let class = |code: usize| {
        let char = u32::try_from(code).ok().and_then(char::from_u32).map(String::from).unwrap_or_default();
        patterns.iter().position(|pattern| pattern.is_match(&char)).unwrap_or(patterns.len())
    };
    let mut blocks: Vec<Vec<u8>> = Vec::new();
    let mut places = Vec::new();
    for start in (0..BLOCKS).map(|block| block * BLOCK_CHARS) {
        let classes = (start..start + BLOCK_CHARS).map(|code| u8::try_from(class(code)));
        let block: Vec<u8> = classes.collect::<Result<_, _>>().map_err(io::Error::other)?;
        let place = blocks.iter().position(|known| *known == block).unwrap_or(blocks.len());
        if place == blocks.len() {
            blocks.push(block);
        }
        places.push(u8::try_from(place).map_err(io::Error::other)?);
    }
    Ok([places, blocks.concat()].concat())
}
