//! Every row can be reached from the entry in the base layer.
//!
//! Choosing links drops some, and with them now and then the last way to a row. Such a row is
//! put in the way of a link of a row near it, v → w becoming v → row → w, which leaves
//! everything reachable that was.

use std::sync::atomic::Ordering;

use super::build::{Linker, Worker};
use super::links::Lists;

/// Puts what cannot be reached in the way of a link. One thread, after all links are made.
pub(super) fn repair(linker: &Linker<'_>) {
    let rows = linker.space.len();
    if rows == 0 {
        return;
    }
    let entry = linker.upper_rows[linker.entry.load(Ordering::Acquire) as usize];
    let mut reached = vec![false; rows];
    spread(&linker.base, entry, &mut reached);
    let mut worker = Worker::default();
    for row in 0..rows as u32 {
        attach(linker, row, entry, &mut reached, &mut worker);
    }
}

/// Marks all rows that links lead to from this one.
fn spread(base: &Lists, from: u32, reached: &mut [bool]) {
    let mut open = vec![from];
    reached[from as usize] = true;
    while let Some(row) = open.pop() {
        for link in base.links(row as usize) {
            if !std::mem::replace(&mut reached[link as usize], true) {
                open.push(link);
            }
        }
    }
}

fn attach(linker: &Linker<'_>, row: u32, entry: u32, reached: &mut [bool], worker: &mut Worker) {
    if reached[row as usize] {
        return;
    }
    const NEAR: usize = 32;
    linker.space.aim_at_row(&mut worker.target, row);
    // From the entry, so that what is found can be reached.
    let nearest = linker.search(&linker.base(), entry, NEAR, worker);
    let near = worker.scratch.pool.entries().iter().map(|entry| entry.node());
    let has_room = |&near: &u32| linker.base.links(near as usize).count() < linker.base.limit();
    let before = near.clone().find(has_room).unwrap_or(nearest);

    let list = linker.base.write(before as usize);
    if !list.push(row) {
        let mut links: Vec<u32> = list.links().collect();
        let displaced = links.pop();
        links.push(row);
        list.set(&links);
        drop(list);
        follow(&linker.base, row, displaced);
    }
    spread(&linker.base, row, reached);
}

/// Makes a link of the row lead where a link led that gave way to it.
fn follow(base: &Lists, row: u32, displaced: Option<u32>) {
    let Some(displaced) = displaced else { return };
    let list = base.write(row as usize);
    let mut links: Vec<u32> = list.links().collect();
    if links.contains(&displaced) {
        return;
    }
    links.truncate(base.limit() - 1);
    links.push(displaced);
    list.set(&links);
}
