;; Crashes, after an error in the log that would like to take over the terminal.
(data (i32.const 64) "the disk\1b[2J is on fire")
(func (export "resource-broker:plugin/accept-filter@0.2.0#judge")
  (param $object i32) (param $offers i32) (param $count i32) (result i32)
  (call $log (i32.const 4) (i32.const 64) (i32.const 23))
  unreachable)
