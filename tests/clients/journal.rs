//! What one client did: a cell for each operation, none forgotten.

use crate::operation::Operation;
use crate::panics::attempt;
use crate::stage::Stage;
use std::time::{Duration, Instant};

pub struct Journal {
    pub client: &'static str,
    pub took: Duration,
    notes: Vec<(Operation, Cell)>,
}

pub enum Cell {
    Done(Duration),
    /// Not a thing that this client does, and why.
    Cannot(&'static str),
    Failed(String),
}

impl Journal {
    /// Let a client's driver do its work, and note what becomes of it.
    pub fn of(client: &'static str, drive: fn(&mut Journal)) -> Journal {
        let start = Instant::now();
        let mut journal = Journal { client, took: Duration::ZERO, notes: Vec::new() };
        let why = match attempt(|| drive(&mut journal)) {
            Ok(()) => "the driver says nothing about it".to_string(),
            Err(panic) => panic,
        };
        for operation in Operation::ALL {
            if journal.notes.iter().all(|(one, _)| *one != operation) {
                journal.note(operation, Cell::Failed(why.clone()));
            }
        }
        journal.notes.sort_by_key(|(one, _)| Operation::ALL.iter().position(|other| one == other));
        journal.took = start.elapsed();
        journal
    }

    /// An operation that the client can do. When it fails the others are tried all the same.
    pub fn does(&mut self, stage: &Stage, operation: Operation, work: impl FnOnce()) {
        let start = Instant::now();
        let cell = match attempt(work) {
            Ok(()) => Cell::Done(start.elapsed()),
            Err(panic) => Cell::Failed(format!("{panic}\n{}", stage.end_of_the_log())),
        };
        self.note(operation, cell);
    }

    pub fn cannot(&mut self, operation: Operation, why: &'static str) {
        self.note(operation, Cell::Cannot(why));
    }

    /// All operations in the order of the table.
    pub fn notes(&self) -> &[(Operation, Cell)] {
        &self.notes
    }

    pub fn cells(&self) -> impl Iterator<Item = &Cell> {
        self.notes.iter().map(|(_, cell)| cell)
    }

    pub fn verdict(&self) -> &'static str {
        if self.cells().any(|cell| matches!(cell, Cell::Failed(_))) { "FAILED" } else { "ok" }
    }

    /// Everything that went wrong, in full.
    pub fn complaints(&self) -> String {
        let complaint = |(operation, cell): &(Operation, Cell)| match cell {
            Cell::Failed(why) => Some(format!("\n---- {}, {} ----\n{why}\n", self.client, operation.title())),
            Cell::Done(_) | Cell::Cannot(_) => None,
        };
        self.notes.iter().filter_map(complaint).collect()
    }

    fn note(&mut self, operation: Operation, cell: Cell) {
        assert!(self.notes.iter().all(|(one, _)| *one != operation), "{} is noted twice", operation.title());
        self.notes.push((operation, cell));
    }
}

impl Cell {
    pub fn mark(&self) -> String {
        match self {
            Cell::Done(took) => format!("ok {:.0}s", took.as_secs_f64()),
            Cell::Cannot(_) => "–".to_string(),
            Cell::Failed(_) => "FAILED".to_string(),
        }
    }
}
