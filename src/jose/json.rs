//! JSON whose members are unique (RFC 7515, 4): what one reader takes from a duplicate, another may not. And of a size that
//! costs less to read than a signature to verify, since it is read first.

use crate::error::{Error, Result};
use serde_core::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use std::cell::Cell;
use std::fmt;

/// Values within a value, whatever their depth. An order of a hundred names has some three hundred.
const MOST_VALUES: usize = 500;

/// Parse one JSON value of a request.
///
/// # Errors
/// Malformed when it is not JSON, nests too deeply, has anything after it, names a member twice, or holds more values than
/// a request can need.
pub fn parse(bytes: &[u8]) -> Result<Value> {
    parse_with(bytes, MOST_VALUES)
}

/// Parse one JSON object of a request.
///
/// # Errors
/// As [`parse`]; Malformed for any value but an object.
pub fn parse_object(bytes: &[u8]) -> Result<Map<String, Value>> {
    object(parse(bytes)?)
}

/// The same of an administrator, who may have long lists.
///
/// # Errors
/// As [`parse_object`], but for the number of values.
pub fn parse_command(bytes: &[u8]) -> Result<Map<String, Value>> {
    object(parse_with(bytes, usize::MAX)?)
}

fn object(value: Value) -> Result<Map<String, Value>> {
    match value {
        Value::Object(members) => Ok(members),
        _ => Err(Error::malformed("a JSON object is needed here")),
    }
}

fn parse_with(bytes: &[u8], most_values: usize) -> Result<Value> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let parsed = Unique { left: &Cell::new(most_values) }.deserialize(&mut deserializer);
    parsed
        .and_then(|value| deserializer.end().map(|()| value))
        .map_err(|e| Error::malformed(format!("this is not the JSON that it should be: {e}")))
}

/// Reads a value, if so many are left.
#[derive(Clone, Copy)]
struct Unique<'c> {
    left: &'c Cell<usize>,
}

impl<'de> DeserializeSeed<'de> for Unique<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> std::result::Result<Value, D::Error> {
        let left = self.left.get().checked_sub(1).ok_or_else(|| D::Error::custom("it holds too many values"))?;
        self.left.set(left);
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Unique<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, v: bool) -> std::result::Result<Value, E> {
        Ok(Value::Bool(v))
    }

    fn visit_i64<E>(self, v: i64) -> std::result::Result<Value, E> {
        Ok(Value::Number(v.into()))
    }

    fn visit_u64<E>(self, v: u64) -> std::result::Result<Value, E> {
        Ok(Value::Number(v.into()))
    }

    fn visit_f64<E>(self, v: f64) -> std::result::Result<Value, E> {
        Ok(Number::from_f64(v).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, v: &str) -> std::result::Result<Value, E> {
        Ok(Value::String(v.to_owned()))
    }

    fn visit_string<E>(self, v: String) -> std::result::Result<Value, E> {
        Ok(Value::String(v))
    }

    fn visit_unit<E>(self) -> std::result::Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> std::result::Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(self)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some(name) = map.next_key::<String>()? {
            let value = map.next_value_seed(self)?;
            if members.insert(name, value).is_some() {
                return Err(A::Error::custom("a member is named twice"));
            }
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_values_than_a_request_needs_are_not_read() {
        let array = |count: usize| format!("{{\"a\":[{}]}}", vec!["[]"; count].join(","));
        assert!(parse(array(498).as_bytes()).is_ok());
        let refusal = parse(array(499).as_bytes()).unwrap_err();
        assert!(refusal.detail().contains("too many values"), "{refusal}");
        assert!(parse_command(array(5_000).as_bytes()).is_ok(), "administrators may");
        // What comes behind is not even looked at.
        assert_eq!(parse(format!("[{}", array(500)).as_bytes()).unwrap_err().class(), refusal.class());
        let names: Vec<String> = (0..100).map(|at| format!("{{\"type\":\"dns\",\"value\":\"h{at}\"}}")).collect();
        assert!(parse_object(format!("{{\"identifiers\":[{}]}}", names.join(",")).as_bytes()).is_ok());
    }

    #[test]
    fn duplicates_are_refused_at_every_depth() {
        assert!(parse(br#"{"a":1,"b":[true,null,-1.5,"x"]}"#).is_ok());
        for bad in [&br#"{"a":1,"a":1}"#[..], br#"{"x":[{"a":1,"\u0061":2}]}"#, b"{} {}", b"{", b"", &[b'['; 500]] {
            assert!(parse(bad).is_err(), "{}", String::from_utf8_lossy(bad));
        }
    }
}
