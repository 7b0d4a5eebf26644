;; All settings are welcome.
(func (export "resource-broker:plugin/plugin@0.2.0#validate-settings") (param i32 i32) (result i32) (i32.const 1024))
