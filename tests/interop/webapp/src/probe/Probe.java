package probe;

import jakarta.servlet.http.HttpServlet;
import jakarta.servlet.http.HttpServletRequest;
import jakarta.servlet.http.HttpServletResponse;
import jakarta.servlet.http.HttpSession;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Arrays;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * One servlet, one answer for each path.
 *
 * <ul>
 * <li>/dump: the request as the container sees it, as JSON; with a header X-Probe also kept for
 * <li>/recall?id=: what was kept, once; 404 when nothing was.
 * <li>/hash[?ms=]: length and SHA-256 of the upload, which is read after ms.
 * <li>/echo: the upload.
 * <li>/early: 413, and the upload is not read.
 * <li>/bytes?n=[&amp;chunked|&amp;declare=]: n bytes, with their length, without or with another.
 * <li>/stream?n=&amp;ms=: n flushed lines, one every ms.
 * <li>/headers?n=&amp;len=: n headers and two cookies.
 * <li>/status?code=[&amp;header=Name:value]...[&amp;body=]: that status.
 * <li>/redirect?to=: there.
 * <li>/die?when=before|after[&amp;chunked]: fails before or after the response was committed.
 * <li>/slow?ms=: answers after ms.
 * <li>/barrier?key=&amp;n=: answers when n requests are inside.
 * <li>/session: hits of this session.
 * <li>/count?key=[&amp;read][&amp;ms=]: how often this was run for the key; answers after ms.
 * <li>/record?id=[&amp;ms=]: adds the id to the file that the property probe.record names.
 * </ul>
 */
public final class Probe extends HttpServlet {
    private static final long serialVersionUID = 1L;
    private static final byte[] BLOCK = new byte[1 << 16];
    private static final int BARRIER_SECONDS = 20;

    static {
        for (int i = 0; i < BLOCK.length; i++) {
            BLOCK[i] = (byte) ('!' + i % 89);
        }
    }

    private final Map<String, String> kept = new ConcurrentHashMap<>();
    private final Map<String, AtomicInteger> counters = new ConcurrentHashMap<>();
    private final Map<String, CountDownLatch> barriers = new ConcurrentHashMap<>();

    @Override
    protected void service(HttpServletRequest request, HttpServletResponse response)
            throws IOException {
        switch (request.getServletPath()) {
            case "/dump" -> dump(request, response);
            case "/recall" -> recall(request, response);
            case "/hash" -> hash(request, response);
            case "/echo" -> echo(request, response);
            case "/early" -> text(response, 413, "too much\n");
            case "/bytes" -> bytes(request, response);
            case "/stream" -> stream(request, response);
            case "/headers" -> headers(request, response);
            case "/status" -> status(request, response);
            case "/redirect" -> response.sendRedirect(request.getParameter("to"));
            case "/die" -> die(request, response);
            case "/slow" -> slow(request, response);
            case "/barrier" -> barrier(request, response);
            case "/session" -> session(request, response);
            case "/count" -> count(request, response);
            case "/record" -> record(request, response);
            default -> response.sendError(404);
        }
    }

    private static int number(HttpServletRequest request, String name) {
        return Integer.parseInt(request.getParameter(name));
    }

    private static boolean has(HttpServletRequest request, String name) {
        return request.getParameter(name) != null;
    }

    private static void text(HttpServletResponse response, int status, String text)
            throws IOException {
        byte[] body = text.getBytes(StandardCharsets.UTF_8);
        response.setStatus(status);
        response.setContentType("text/plain;charset=UTF-8");
        response.setContentLength(body.length);
        response.getOutputStream().write(body);
    }

    private static void pause(int ms) throws IOException {
        try {
            Thread.sleep(ms);
        } catch (InterruptedException e) {
            throw new IOException(e);
        }
    }

    private void dump(HttpServletRequest request, HttpServletResponse response)
            throws IOException {
        String seen = Json.of(Seen.of(request));
        String id = request.getHeader("X-Probe");
        if (id != null) {
            kept.put(id, seen);
        }
        byte[] body = seen.getBytes(StandardCharsets.US_ASCII);
        response.setContentType("application/json");
        response.setContentLength(body.length);
        response.getOutputStream().write(body);
    }

    private void recall(HttpServletRequest request, HttpServletResponse response)
            throws IOException {
        String seen = kept.remove(request.getParameter("id"));
        text(response, seen == null ? 404 : 200, seen == null ? "nothing kept\n" : seen);
    }

    private static void hash(HttpServletRequest request, HttpServletResponse response)
            throws IOException {
        if (has(request, "ms")) {
            pause(number(request, "ms"));
        }
        Seen.Upload upload = Seen.Upload.read(request.getInputStream());
        text(response, 200, upload.length() + " " + upload.sha256() + "\n");
    }

    private static void echo(HttpServletRequest request, HttpServletResponse response)
            throws IOException {
        response.setContentType("application/octet-stream");
        InputStream in = request.getInputStream();
        OutputStream out = response.getOutputStream();
        byte[] block = new byte[10_000];
        for (int got; (got = in.read(block)) > 0;) {
            out.write(block, 0, got);
        }
    }

    private static void bytes(HttpServletRequest request, HttpServletResponse response)
            throws IOException {
        int left = number(request, "n");
        response.setContentType("application/octet-stream");
        if (!has(request, "chunked")) {
            response.setContentLength(has(request, "declare") ? number(request, "declare") : left);
        } else {
            response.flushBuffer();
        }
        OutputStream out = response.getOutputStream();
        for (int part; left > 0; left -= part) {
            part = Math.min(left, BLOCK.length);
            out.write(BLOCK, 0, part);
        }
    }

    private static void stream(HttpServletRequest request, HttpServletResponse response)
            throws IOException {
        int lines = number(request, "n");
        int ms = number(request, "ms");
        response.setContentType("text/event-stream");
        for (int i = 0; i < lines; i++) {
            if (i > 0) {
                pause(ms);
            }
            String line = "data: " + i + "\n\n";
            response.getOutputStream().write(line.getBytes(StandardCharsets.US_ASCII));
            response.flushBuffer();
        }
    }

    private static void headers(HttpServletRequest request, HttpServletResponse response)
            throws IOException {
        int length = number(request, "len");
        for (int i = 0; i < number(request, "n"); i++) {
            response.addHeader("X-Header-" + i, "v".repeat(length));
        }
        response.addHeader("Set-Cookie", "first=1; Path=/");
        response.addHeader("Set-Cookie", "second=2; Path=/; HttpOnly");
        text(response, 200, "ok\n");
    }

    private static void status(HttpServletRequest request, HttpServletResponse response)
            throws IOException {
        response.setStatus(number(request, "code"));
        String[] headers = request.getParameterValues("header");
        for (String header : headers == null ? new String[0] : headers) {
            int colon = header.indexOf(':');
            response.addHeader(header.substring(0, colon), header.substring(colon + 1));
        }
        if (has(request, "body")) {
            byte[] body = request.getParameter("body").getBytes(StandardCharsets.UTF_8);
            response.setContentType("text/plain;charset=UTF-8");
            response.getOutputStream().write(body);
        }
    }

    private static void die(HttpServletRequest request, HttpServletResponse response)
            throws IOException {
        response.setContentType("text/plain");
        if (!has(request, "chunked")) {
            response.setContentLength(1 << 20);
        }
        if (request.getParameter("when").equals("after")) {
            response.getOutputStream().write(BLOCK, 0, 20_000);
            response.flushBuffer();
        }
        throw new IllegalStateException("died on request");
    }

    private static void slow(HttpServletRequest request, HttpServletResponse response)
            throws IOException {
        pause(number(request, "ms"));
        text(response, 200, "slow\n");
    }

    private void barrier(HttpServletRequest request, HttpServletResponse response)
            throws IOException {
        int size = number(request, "n");
        CountDownLatch latch = barriers.computeIfAbsent(
                request.getParameter("key"), key -> new CountDownLatch(size));
        latch.countDown();
        try {
            boolean complete = latch.await(BARRIER_SECONDS, TimeUnit.SECONDS);
            text(response, complete ? 200 : 504, complete ? "all here\n" : "some are missing\n");
        } catch (InterruptedException e) {
            throw new IOException(e);
        }
    }

    private static void session(HttpServletRequest request, HttpServletResponse response)
            throws IOException {
        HttpSession session = request.getSession(true);
        Integer hits = (Integer) session.getAttribute("hits");
        session.setAttribute("hits", hits == null ? 1 : hits + 1);
        text(response, 200, Json.of(Arrays.asList(session.getId(), session.getAttribute("hits"))));
    }

    private void count(HttpServletRequest request, HttpServletResponse response)
            throws IOException {
        AtomicInteger counter = counters.computeIfAbsent(
                request.getParameter("key"), key -> new AtomicInteger());
        int ms = has(request, "ms") ? number(request, "ms") : 0;
        int runs = has(request, "read") ? counter.get() : counter.incrementAndGet();
        pause(ms);
        text(response, 200, runs + "\n");
    }

    private static void record(HttpServletRequest request, HttpServletResponse response)
            throws IOException {
        String line = request.getParameter("id") + "\n";
        Files.writeString(Path.of(System.getProperty("probe.record")), line,
                StandardOpenOption.CREATE, StandardOpenOption.APPEND);
        pause(has(request, "ms") ? number(request, "ms") : 0);
        text(response, 200, "recorded\n");
    }
}
