//! Leaves a field with its default value out at the end of a CBOR array, as `None` is: a field that was added costs nothing
//! where it says nothing, and bytes stay the same as those of builds that did not know it.

use minicbor::{
    Decode, Decoder, Encode, Encoder,
    encode::{Error, Write},
};

pub(crate) fn encode<Ctx, T: Encode<Ctx>, W: Write>(
    value: &T,
    encoder: &mut Encoder<W>,
    context: &mut Ctx,
) -> Result<(), Error<W::Error>> {
    value.encode(encoder, context)
}

pub(crate) fn decode<'b, Ctx, T: Decode<'b, Ctx>>(
    decoder: &mut Decoder<'b>,
    context: &mut Ctx,
) -> Result<T, minicbor::decode::Error> {
    T::decode(decoder, context)
}

#[expect(clippy::unnecessary_wraps, reason = "the codec asks for an option")]
pub(crate) fn nil<T: Default>() -> Option<T> {
    Some(T::default())
}

pub(crate) fn is_nil<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
