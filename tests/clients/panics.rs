//! What a panic said, for whoever catches it. The usual hook prints it at once, in the middle of other threads' output.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook};

thread_local! {
    static LAST: RefCell<String> = const { RefCell::new(String::new()) };
}

pub fn remember_panics() {
    set_hook(Box::new(|panic| {
        let text = panic.to_string();
        if std::thread::current().name() == Some("main") {
            eprintln!("{text}");
        }
        LAST.with(|last| *last.borrow_mut() = text);
    }));
}

/// Do the work; a panic becomes what it said.
pub fn attempt<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|_| LAST.with(|last| last.take()))
}
