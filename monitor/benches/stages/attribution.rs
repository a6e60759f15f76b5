//! Tasks to actors among ten thousand processes, beside the one lookup that it cannot do without.

use std::collections::HashMap;
use std::hint::black_box;

use criterion::{Bencher, Criterion};
use monitor::attribution::{Actor, Host, Processes};
use monitor::model::Timestamp;

use super::ratio::pair;
use super::tasks::task;

const PROCESSES: u32 = 10_000;

pub(super) fn bench(criterion: &mut Criterion) {
    let (mut processes, mut host) = (Processes::default(), Host::default());
    let mut bare = HashMap::new();
    for pid in 1..=PROCESSES {
        let exe = format!("/usr/bin/program-{pid}");
        processes.started(&task(pid), Some(&exe), Timestamp(0));
        bare.insert(task(pid).key(), exe);
    }
    for uid in 1000..1005 {
        host.set_user(uid, Some(&format!("service-{uid}")), None);
    }
    for id in 1..=100 {
        let path = match id % 3 {
            0 => format!("/system.slice/service-{id}.service"),
            1 => format!("/user.slice/user-1000.slice/session-{id}.scope"),
            _ => format!(
                "/system.slice/docker-{}.scope",
                format!("{id:02x}").repeat(32)
            ),
        };
        host.set_cgroup(id, &path);
    }
    let tasks: Vec<_> = (1..=PROCESSES).step_by(7).map(task).collect();

    let mut group = criterion.benchmark_group("attribution");
    let mut next = tasks.iter().cycle();
    let subject = |bencher: &mut Bencher<'_>| {
        bencher.iter(|| {
            Actor::of(
                black_box(next.next().unwrap_or(&tasks[0])),
                &processes,
                &host,
            )
        });
    };
    let mut keys = tasks.iter().map(|task| task.key()).cycle();
    let baseline = |bencher: &mut Bencher<'_>| {
        bencher.iter(|| bare.get(&black_box(keys.next())?));
    };
    pair(
        &mut group,
        "attribution",
        "actor",
        1,
        subject,
        ("lookup", baseline),
    );
    group.finish();
}
