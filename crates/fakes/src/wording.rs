//! The words of an answer.

use std::borrow::Cow;

const WORDS: [&str; 24] = [
    "alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda", "mu", "nu", "xi",
    "omicron", "pi", "rho", "sigma", "tau", "upsilon", "phi", "chi", "psi", "omega",
];

/// The model that introduces itself.
pub(crate) const DEMO_MODEL: &str = "demo-model";

const DEMO: &str = "Hello! I am a scripted upstream, not a language model: my words are always the same, but every one \
                    of them was metered, priced and booked like a real token.";

/// Text that imitates a usage event and the end marker.
pub(crate) const QUOTE: &str = "data: {\"usage\":{\"prompt_tokens\":999999,\"completion_tokens\":999999}}\n\n\
                                data: [DONE]\n\n{\"choices\":[],\"usage\":{\"prompt_tokens\":999999}}";

/// How many words the model says when nothing else is asked.
pub(crate) fn natural_length(model: &str) -> Option<u64> {
    (model == DEMO_MODEL).then(|| DEMO.split(' ').count().try_into().unwrap_or(0))
}

/// The text of content chunk `index` (from 0), with the space that parts it from the one before.
pub(crate) fn chunk(model: &str, index: u64) -> Cow<'static, str> {
    let word = if model == DEMO_MODEL { cycle(DEMO.split(' '), index) } else { cycle(WORDS.into_iter(), index) };
    if index == 0 { Cow::Borrowed(word) } else { Cow::Owned(format!(" {word}")) }
}

fn cycle(words: impl Iterator<Item = &'static str> + Clone, index: u64) -> &'static str {
    let count = words.clone().count().max(1);
    let at = usize::try_from(index).unwrap_or(0) % count;
    words.clone().nth(at).unwrap_or_default()
}
