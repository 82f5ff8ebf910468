//! Plain tables for people: columns as wide as their widest cell, numbers to the right.

use serde_json::Value;

/// A column: its heading and the key of its cell in each row.
pub(super) type Column = (&'static str, &'static str);

/// Renders rows of JSON objects.
pub(super) fn render(rows: &[Value], columns: &[Column]) -> String {
    let cells: Vec<Vec<(String, bool)>> =
        rows.iter().map(|row| columns.iter().map(|(_, key)| cell(row.get(key))).collect()).collect();
    let width = |index: usize| {
        let heading = columns.get(index).map_or(0, |(heading, _)| heading.chars().count());
        cells
            .iter()
            .filter_map(|row| row.get(index))
            .map(|(text, _)| text.chars().count())
            .max()
            .unwrap_or(0)
            .max(heading)
    };
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let mut lines = vec![line(columns.iter().map(|(heading, _)| ((*heading).to_owned(), false)), &widths)];
    lines.extend(cells.into_iter().map(|row| line(row.into_iter(), &widths)));
    if rows.is_empty() {
        lines.push("(none)".to_owned());
    }
    lines.join("\n")
}

fn line(cells: impl Iterator<Item = (String, bool)>, widths: &[usize]) -> String {
    let padded = cells.zip(widths).map(|((text, right), width)| {
        let gap = " ".repeat(width.saturating_sub(text.chars().count()));
        if right { format!("{gap}{text}") } else { format!("{text}{gap}") }
    });
    padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
}

fn cell(value: Option<&Value>) -> (String, bool) {
    match value {
        None | Some(Value::Null) => ("-".to_owned(), false),
        Some(Value::String(text)) => (text.clone(), is_amount(text)),
        Some(Value::Number(number)) => (number.to_string(), true),
        Some(Value::Array(items)) => (items.iter().map(|item| cell(Some(item)).0).collect::<Vec<_>>().join(","), false),
        Some(other) => (other.to_string(), false),
    }
}

fn is_amount(text: &str) -> bool {
    text.contains('.') && text.chars().all(|c| c.is_ascii_digit() || c == '.' || c == '-')
}

/// Renders one object as `name: value` lines, nested objects indented.
pub(super) fn render_object(value: &Value) -> String {
    let mut lines = Vec::new();
    object_lines(value, 0, &mut lines);
    lines.join("\n")
}

fn object_lines(value: &Value, depth: usize, lines: &mut Vec<String>) {
    let indent = "  ".repeat(depth);
    let Value::Object(fields) = value else {
        lines.push(format!("{indent}{}", cell(Some(value)).0));
        return;
    };
    for (name, value) in fields {
        match value {
            Value::Object(inner) if !inner.is_empty() => {
                lines.push(format!("{indent}{name}:"));
                object_lines(value, depth + 1, lines);
            }
            Value::Array(items) if items.iter().any(Value::is_object) => {
                for item in items {
                    lines.push(format!("{indent}{name}:"));
                    object_lines(item, depth + 1, lines);
                }
            }
            _ => lines.push(format!("{indent}{name}: {}", cell(Some(value)).0)),
        }
    }
}
