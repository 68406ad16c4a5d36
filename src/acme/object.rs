//! JSON objects, written straight into the body of a reply. Members stand in the order of their names, as they do in the other
//! replies.

use serde_core::Serialize;

/// An object that is being written.
pub(super) struct Object<'b> {
    body: &'b mut Vec<u8>,
    /// The name of the last member; empty before the first.
    last: &'static str,
}

impl Object<'_> {
    /// The object that has the members that `members` writes.
    pub(super) fn write(body: &mut Vec<u8>, members: impl FnOnce(&mut Object<'_>)) {
        body.push(b'{');
        members(&mut Object { body, last: "" });
        body.push(b'}');
    }

    /// A member with its value.
    pub(super) fn member(&mut self, name: &'static str, value: impl Serialize) {
        // A value has text for its names and no number that JSON lacks, and writing to memory does not fail.
        let _ = serde_json::to_writer(self.named(name), &value);
    }

    /// A member that is an object.
    pub(super) fn object(&mut self, name: &'static str, members: impl FnOnce(&mut Object<'_>)) {
        Object::write(self.named(name), members);
    }

    /// A member that is a list of objects, one for each item.
    pub(super) fn objects<T>(
        &mut self,
        name: &'static str,
        items: impl Iterator<Item = T>,
        members: impl Fn(&mut Object<'_>, T),
    ) {
        let body = self.named(name);
        let begin = body.len();
        for item in items {
            body.push(if body.len() == begin { b'[' } else { b',' });
            Object::write(body, |object| members(object, item));
        }
        body.extend_from_slice(if body.len() == begin { b"[]" } else { b"]" });
    }

    /// Where the value of a member is to be written. Names are ours and have nothing to escape.
    fn named(&mut self, name: &'static str) -> &mut Vec<u8> {
        debug_assert!(self.last < name, "{name} stands before {}", self.last);
        self.body.extend_from_slice(if self.last.is_empty() { b"\"" } else { b",\"" });
        self.last = name;
        self.body.extend_from_slice(name.as_bytes());
        self.body.extend_from_slice(b"\":");
        self.body
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn what_is_written_is_what_a_value_would_say() {
        let mut body = Vec::new();
        Object::write(&mut body, |object| {
            object.object("a", |_| {});
            object.objects("b", [1, 2].into_iter(), |object, number| object.member("n", number));
            object.objects("c", std::iter::empty::<()>(), |_, ()| {});
            object.member("d", "\"\u{1}é\\");
            object.object("e", |object| object.member("f", ["x"]));
        });
        let value = json!({ "a": {}, "b": [{ "n": 1 }, { "n": 2 }], "c": [], "d": "\"\u{1}é\\", "e": { "f": ["x"] } });
        assert_eq!(String::from_utf8(body).unwrap(), Value::to_string(&value));
    }
}
