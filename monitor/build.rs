fn main() {
    let out = std::env::var("OUT_DIR").unwrap();
    println!(
        "cargo:rerun-if-changed=../monitor-ebpf/target/bpfel-unknown-none/release/monitor-ebpf"
    );
    std::fs::copy(
        "../monitor-ebpf/target/bpfel-unknown-none/release/monitor-ebpf",
        format!("{out}/monitor-ebpf"),
    )
    .unwrap();
}
