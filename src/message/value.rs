//! Values of headers.

use serde::{Deserialize, Serialize};

/// The value of a header: the types that every broker and every client takes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Value {
    /// No value.
    Null,
    /// A truth.
    Bool(bool),
    /// A number; 32 bits on the wire where they are enough.
    Integer(i64),
    /// Text, as a long string on the wire: brokers close the connection at a short one.
    Text(String),
    /// Several values.
    List(Vec<Value>),
    /// Values by name.
    Table(Vec<(String, Value)>),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Value::Text(text)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Value::Integer(number)
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Self {
        Value::Bool(truth)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_kept_as_what_they_are() {
        for value in [
            Value::Null,
            Value::Bool(false),
            Value::Integer(-5),
            Value::from("5"),
            Value::List(Vec::new()),
            Value::List(vec![Value::Null, Value::List(Vec::new())]),
            Value::Table(Vec::new()),
            Value::Table(vec![
                ("b".to_owned(), Value::from(1)),
                ("a".to_owned(), Value::Table(Vec::new())),
            ]),
        ] {
            let text = serde_json::to_string(&value).unwrap();
            assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value, "{text}");
        }
    }
}
