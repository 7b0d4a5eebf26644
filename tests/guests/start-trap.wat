;; Crashes as soon as there is an instance.
(func $boom unreachable)
(start $boom)
(func (export "resource-broker:plugin/accept-filter@0.2.0#judge")
  (param $object i32) (param $offers i32) (param $count i32) (result i32)
  unreachable)
