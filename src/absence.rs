//! Whoever works for others says when it is about to wait for something, so that others do meanwhile what it would have done
//! next.

use std::cell::RefCell;
use std::rc::Rc;

/// Who hears of it.
pub trait Watch {
    /// This thread is about to wait.
    fn leaves(&self);
    /// It goes on.
    fn is_back(&self);
}

thread_local! {
    static WATCH: RefCell<Option<Rc<dyn Watch>>> = const { RefCell::new(None) };
}

/// Tell of the absences of this thread from now on.
pub fn watch(watch: Rc<dyn Watch>) {
    WATCH.set(Some(watch));
}

/// Do what this thread mostly waits in. Within it nothing more is told.
pub fn away<T>(wait: impl FnOnce() -> T) -> T {
    let Some(watch) = WATCH.take() else { return wait() };
    let back = Back(watch);
    back.0.leaves();
    let result = wait();
    drop(back);
    result
}

/// However the wait ends.
struct Back(Rc<dyn Watch>);

impl Drop for Back {
    fn drop(&mut self) {
        self.0.is_back();
        WATCH.set(Some(Rc::clone(&self.0)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    struct Told(RefCell<String>);

    impl Watch for Told {
        fn leaves(&self) {
            self.0.borrow_mut().push('-');
        }

        fn is_back(&self) {
            self.0.borrow_mut().push('+');
        }
    }

    #[test]
    fn each_absence_is_told_once_and_its_end_however_it_ends() {
        away(|| ());
        let told = Rc::new(Told(RefCell::default()));
        watch(Rc::<Told>::clone(&told));
        away(|| away(|| told.0.borrow_mut().push('.')));
        let _ = catch_unwind(AssertUnwindSafe(|| away(|| panic!("on purpose"))));
        away(|| ());
        assert_eq!(*told.0.borrow(), "-.+-+-+");
    }
}
