//! Rows as lines of text, in the format of Postgres's COPY: one line a row, tabs between columns, `\N` for null.
//!
//! One format for both engines, so that what one wrote the other reads, and `psql` too.

use super::StoreError;

/// A column's form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Sixteen bytes, shown as a UUID.
    Id,
    Integer,
    Flag,
    Text,
    Bytes,
}

/// A column of a table that is written out.
pub(super) type Column = (&'static str, Kind);

/// One value of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Null,
    Id([u8; 16]),
    Integer(i64),
    Flag(bool),
    Text(String),
    Bytes(Vec<u8>),
}

/// Appends a row as a line.
pub(super) fn write_row(values: &[Value], line: &mut String) {
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            line.push('\t');
        }
        match value {
            Value::Null => line.push_str("\\N"),
            Value::Id(id) => line.push_str(&sqlx::types::Uuid::from_bytes(*id).hyphenated().to_string()),
            Value::Integer(number) => line.push_str(&number.to_string()),
            Value::Flag(flag) => line.push(if *flag { 't' } else { 'f' }),
            Value::Text(text) => escape(text, line),
            Value::Bytes(bytes) => {
                line.push_str("\\\\x");
                line.push_str(&hex::encode(bytes));
            }
        }
    }
    line.push('\n');
}

fn escape(text: &str, line: &mut String) {
    for c in text.chars() {
        match c {
            '\\' => line.push_str("\\\\"),
            '\t' => line.push_str("\\t"),
            '\n' => line.push_str("\\n"),
            '\r' => line.push_str("\\r"),
            '\u{8}' => line.push_str("\\b"),
            '\u{c}' => line.push_str("\\f"),
            '\u{b}' => line.push_str("\\v"),
            other => line.push(other),
        }
    }
}

/// Reads a line, without its end, as a row of these columns.
pub(super) fn read_row(line: &str, columns: &[Column]) -> Result<Vec<Value>, StoreError> {
    let fields: Vec<&str> = line.split('\t').collect();
    if fields.len() != columns.len() {
        return Err(StoreError::Damaged("line of a table"));
    }
    fields.iter().zip(columns).map(|(field, (_, kind))| read_value(field, *kind)).collect()
}

fn read_value(field: &str, kind: Kind) -> Result<Value, StoreError> {
    if field == "\\N" {
        return Ok(Value::Null);
    }
    let damaged = || StoreError::Damaged("value of a table");
    Ok(match kind {
        Kind::Id => Value::Id(field.parse::<sqlx::types::Uuid>().map_err(|_| damaged())?.into_bytes()),
        Kind::Integer => Value::Integer(field.parse().map_err(|_| damaged())?),
        Kind::Flag => match field {
            "t" => Value::Flag(true),
            "f" => Value::Flag(false),
            _ => return Err(damaged()),
        },
        Kind::Text => Value::Text(unescape(field).ok_or_else(damaged)?),
        Kind::Bytes => {
            let digits = field.strip_prefix("\\\\x").ok_or_else(damaged)?;
            Value::Bytes(hex::decode(digits).map_err(|_| damaged())?)
        }
    })
}

fn unescape(field: &str) -> Option<String> {
    let mut text = String::with_capacity(field.len());
    let mut chars = field.chars();
    while let Some(c) = chars.next() {
        text.push(if c == '\\' {
            match chars.next()? {
                '\\' => '\\',
                't' => '\t',
                'n' => '\n',
                'r' => '\r',
                'b' => '\u{8}',
                'f' => '\u{c}',
                'v' => '\u{b}',
                _ => return None,
            }
        } else {
            c
        });
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_row_reads_back(text: String, number: i64, bytes: Vec<u8>, id: [u8; 16], flag: bool) {
            let row =
                vec![Value::Text(text), Value::Integer(number), Value::Bytes(bytes), Value::Id(id), Value::Flag(flag), Value::Null];
            let columns =
                [("a", Kind::Text), ("b", Kind::Integer), ("c", Kind::Bytes), ("d", Kind::Id), ("e", Kind::Flag), ("f", Kind::Text)];
            let mut line = String::new();
            write_row(&row, &mut line);
            prop_assert_eq!(line.matches('\n').count(), 1);
            prop_assert_eq!(read_row(line.trim_end_matches('\n'), &columns).unwrap(), row);
        }

        #[test]
        fn any_line_is_read_or_refused(line: String) {
            let _refused = read_row(&line, &[("a", Kind::Text), ("b", Kind::Bytes)]);
        }
    }
}
