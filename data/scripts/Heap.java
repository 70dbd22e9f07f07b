import java.util.*;
import javax.tools.*;

/** Grows and drops its heap, and runs the Java compiler between. */
public class Heap {
    public static void main(String[] args) throws Exception {
        for (int round = 0; round < 4; round++) {
            List<byte[]> kept = new ArrayList<>();
            Map<Integer, String> map = new HashMap<>();
            for (int i = 0; i < 3000 + 500 * round; i++) {
                kept.add(new byte[1 << 20]);
                for (int j = 0; j < 200; j++) map.put(i * 200 + j, "value " + j + " of " + i);
            }
            for (int i = 0; i < 4; i++)
                ToolProvider.getSystemJavaCompiler().run(null, null, null, "-nowarn", "-d", args[0], args[1]);
            kept = null; map = null;
            System.gc();
            Thread.sleep(3000);
        }
    }
}
