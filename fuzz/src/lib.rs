//! Fuzzing with a measure: a parser of foreign bytes must not allocate more than a small multiple of its input.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Error texts, tables, and what the standard library takes at least.
const ALLOWANCE: usize = 64 * 1024;
/// Generous for trees of JSON values, whose nodes are larger than their text.
const MULTIPLE: usize = 64;

/// Counts what is allocated.
pub struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is handed to the system's allocator as it came; only numbers are kept.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let live = LIVE.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(live, Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// Run a parser on an input and fail when it takes too much memory.
pub fn measured<T>(input: &[u8], parse: impl FnOnce(&[u8]) -> T) {
    let before = LIVE.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    drop(parse(input));
    let taken = PEAK.load(Ordering::Relaxed).saturating_sub(before);
    let allowed = ALLOWANCE + MULTIPLE * input.len();
    assert!(taken <= allowed, "{taken} bytes were allocated for an input of {}", input.len());
}

/// A target that gives its input to one parser.
#[macro_export]
macro_rules! target {
    ($parse:expr) => {
        #[global_allocator]
        static ALLOCATOR: $crate::Counting = $crate::Counting;

        libfuzzer_sys::fuzz_target!(|input: &[u8]| $crate::measured(input, $parse));
    };
}
