//! The SentencePiece tokenizer that a GGUF file describes, made into a BPE with byte fallback.
//!
//! The file has pieces with scores and no merges; a merge is every split of a piece into two known pieces, and the score
//! of the result is its rank. User-defined tokens are read out of the text before that and take no part in merges; those of
//! spaces stand for real spaces, not for the mark that other pieces have in their place.

use std::collections::HashSet;

use tokenizers::{
    AddedToken,
    decoders::{DecoderWrapper, byte_fallback::ByteFallback, fuse::Fuse, sequence::Sequence},
    models::{ModelWrapper, bpe::BPE},
    normalizers::{NormalizerWrapper, replace::Replace},
};

use super::{LoadError, gguf::Gguf};
use crate::text::tokenizer::{Parts, Tokenizer, TokenizerError};

/// Token types of the file format.
const CONTROL: i64 = 3;
const USER_DEFINED: i64 = 4;
const UNKNOWN: i64 = 2;
/// The pieces' mark for a space.
const SPACE_MARK: &str = "▁";

/// What the file says of its tokenizer.
pub(super) struct Pieces {
    pieces: Vec<String>,
    scores: Vec<f32>,
    types: Vec<i64>,
    bos: Option<u32>,
    ends: Vec<u32>,
}

impl Pieces {
    pub(super) fn read(file: &Gguf) -> Result<Self, LoadError> {
        // Another model of tokenizer would give other tokens without an error.
        match file.text("tokenizer.ggml.model") {
            Some("llama") => {}
            other => {
                let other = other.unwrap_or("none");
                return Err(LoadError::Config(format!("tokenizer.ggml.model: `{other}` is not implemented")));
            }
        }
        if flag(file, "tokenizer.ggml.add_space_prefix").unwrap_or(true) {
            return Err(LoadError::Config("tokenizer.ggml.add_space_prefix: true is not implemented".to_owned()));
        }
        let pieces = file.texts("tokenizer.ggml.tokens")?;
        let types = file.array("tokenizer.ggml.token_type")?.iter().map(|kind| Ok(kind.to_i32().map(i64::from)?));
        let types = types.collect::<Result<Vec<i64>, LoadError>>()?;
        let pieces: Vec<String> = pieces
            .into_iter()
            .zip(&types)
            .map(|(piece, kind)| if *kind == USER_DEFINED { piece.replace(SPACE_MARK, " ") } else { piece })
            .collect();
        let scores = file.array("tokenizer.ggml.scores")?.iter().map(|score| Ok(score.to_f32()?));
        let scores = scores.collect::<Result<Vec<f32>, LoadError>>()?;
        if scores.len() != pieces.len() || types.len() != pieces.len() {
            return Err(LoadError::Config("the tokenizer's lists have different lengths".to_owned()));
        }
        let id = |key: &str| file.count(key).ok().and_then(|id| u32::try_from(id).ok());
        let adds_bos = flag(file, "tokenizer.ggml.add_bos_token").unwrap_or(true);
        let bos = if adds_bos { id("tokenizer.ggml.bos_token_id") } else { None };
        let turn_end = pieces.iter().position(|piece| piece == "<end_of_turn>").and_then(|at| u32::try_from(at).ok());
        let ends = ["tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id"];
        let mut ends: Vec<u32> = ends.iter().filter_map(|key| id(key)).chain(turn_end).collect();
        ends.sort_unstable();
        ends.dedup();
        Ok(Self { pieces, scores, types, bos, ends })
    }

    /// Builds the tokenizer. Takes about half a second for 262,144 pieces.
    pub(super) fn tokenizer(self) -> Result<Tokenizer, LoadError> {
        let failed = |error: tokenizers::Error| LoadError::Tokenizer(TokenizerError::Unusable(error.to_string()));
        let merges = self.merges();
        let vocabulary: tokenizers::models::bpe::Vocab =
            self.pieces.iter().zip(0_u32..).map(|(piece, id)| (piece.clone(), id)).collect();
        let unknown = self.types.iter().position(|kind| *kind == UNKNOWN).and_then(|at| self.pieces.get(at));
        let mut builder = BPE::builder().vocab_and_merges(vocabulary, merges).byte_fallback(true).fuse_unk(true);
        if let Some(unknown) = unknown {
            builder = builder.unk_token(unknown.clone());
        }
        let model = builder.build().map_err(failed)?;
        let normalizer = Replace::new(" ", SPACE_MARK).map_err(failed)?;
        let unmark = Replace::new(SPACE_MARK, " ").map_err(failed)?;
        let decoder = Sequence::new(vec![
            DecoderWrapper::Replace(unmark),
            DecoderWrapper::ByteFallback(ByteFallback::new()),
            DecoderWrapper::Fuse(Fuse::new()),
        ]);
        let mut plain = tokenizers::Tokenizer::new(ModelWrapper::BPE(model));
        plain.with_normalizer(Some(NormalizerWrapper::Replace(normalizer))).map_err(failed)?;
        plain.with_decoder(Some(DecoderWrapper::Sequence(decoder)));
        plain
            .add_tokens(
                self.of_type(USER_DEFINED).map(|piece| AddedToken::from(piece.clone(), false).normalized(false)),
            )
            .map_err(failed)?;
        let controls = self.pieces.iter().zip(&self.types).zip(0_u32..);
        let controls = controls.filter(|((_, kind), _)| **kind == CONTROL).map(|((piece, _), id)| (piece.clone(), id));
        let parts = Parts { plain, controls: controls.collect(), bos: self.bos, ends: self.ends };
        Ok(Tokenizer::from_parts(parts)?)
    }

    fn of_type(&self, wanted: i64) -> impl Iterator<Item = &String> {
        self.pieces.iter().zip(&self.types).filter(move |(_, kind)| **kind == wanted).map(|(piece, _)| piece)
    }

    /// Every split of a piece into two known ones, best score first.
    fn merges(&self) -> Vec<(String, String)> {
        let kinds = self.pieces.iter().zip(&self.types);
        let known: HashSet<&str> =
            kinds.filter(|(_, kind)| **kind != USER_DEFINED).map(|(piece, _)| piece.as_str()).collect();
        let mut found: Vec<(f32, u32, usize)> = Vec::with_capacity(self.pieces.len() * 2);
        let scored = self.pieces.iter().zip(&self.types).zip(&self.scores).zip(0_u32..);
        for (((piece, kind), score), id) in scored {
            if *kind == USER_DEFINED {
                continue;
            }
            for (split, _) in piece.char_indices().skip(1) {
                let (left, right) = piece.split_at(split);
                if known.contains(left) && known.contains(right) {
                    found.push((*score, id, split));
                }
            }
        }
        found.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)).then(a.2.cmp(&b.2)));
        let piece = |id: u32| usize::try_from(id).ok().and_then(|id| self.pieces.get(id));
        found
            .into_iter()
            .filter_map(|(_, id, split)| {
                let (left, right) = piece(id)?.split_at(split);
                Some((left.to_owned(), right.to_owned()))
            })
            .collect()
    }
}

fn flag(file: &Gguf, key: &str) -> Option<bool> {
    file.value(key)?.to_bool().ok()
}
