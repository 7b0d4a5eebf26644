;; Copies 64 MiB to and fro, for ever. A single copy cannot be interrupted.
(func (export "resource-broker:plugin/accept-filter@0.2.0#judge")
  (param $object i32) (param $offers i32) (param $count i32) (result i32)
  (drop (memory.grow (i32.const 960)))
  (loop $again
    (memory.copy (i32.const 0) (i32.const 4096) (i32.const 67104768))
    (memory.copy (i32.const 4096) (i32.const 0) (i32.const 67104768))
    (br $again))
  unreachable)
